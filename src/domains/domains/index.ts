/** Puts domains together: their REST. */
import type { Domain } from '../domain';
import type { DomainsDeps } from './domains';
import { domainsRoutes } from './domains.routes';

export const createDomains = (deps: DomainsDeps): Domain => ({ routes: domainsRoutes(deps) });
