/** Puts users together: their REST, and how phones of users who are none any more are let go. */
import type { Logger } from '../../infra/logger';
import { storeClock } from '../../infra/store-clock';
import type { Domain } from '../domain';
import { reconcileEndedUsers, sweepEndedUsers } from './ended/end-user';
import type { UsersDeps } from './users';
import { usersRoutes } from './users.routes';

export interface UsersOptions extends UsersDeps {
  logger: Logger;
  commandTimeoutMs: number;
}

export function createUsers(o: UsersOptions): Domain {
  const sweep = sweepEndedUsers({ db: o.db, logger: o.logger, broadcast: o.endings.broadcast });
  return {
    routes: usersRoutes(o),
    handlers: {
      onSnapshot: (_node, connection) => reconcileEndedUsers(o, connection, o.commandTimeoutMs, storeClock.now()),
    },
    stop: () => sweep.stop(),
  };
}
