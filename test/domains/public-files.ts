/** What a domain shows of itself: the files that http, main and other domains may import. Everything else is its inside. */

/** The fewer, the better: a name goes when nobody outside imports its file any more; the architecture test says which. */
const PUBLIC: Readonly<Record<string, string>> = {
  'api-keys': `
    index key-ring`,
  bans: `
    addresses index logins pins`,
  calls: `
    adoption/channel-memory calls calls.store dialing/dial.job dialing/originate dialing/remembered-phones
    dialplan/contacts dialplan/dialplan dialplan/media-timeouts events/move-calls index playable
    queue/fair-queue queue/feed queue/overdue reconcile/node-look reconcile/reconcile-node
    reconcile/rejoin-room reconcile/unadmitted-channels records/cdr records/left-records trust/handovers
    trust/stray-records`,
  domains: `
    domain-lookup domains index`,
  events: `
    broadcaster events events.routes events.store index`,
  grants: `
    grant-directory grant-name grants grants.store index`,
  nodes: `
    capacity/claim-holders.store capacity/claims capacity/units clock/node-clock clock/node-clocks.store
    connections/acl-refresh connections/errands connections/event-batches connections/event-intake connections/node-connections
    connections/reconcile-schedule drain/door drain/own-drain drain/phones entering/address-guard
    entering/admission features/ask-modules features/features features/require-feature health/canary/dialplan
    health/canary/scheduler health/probe index limits node-configuration nodes nodes.store pool/gauges
    pool/pool-snapshot selection/placement-report selection/reserve-node selection/select-node
    trust/asked-users trust/bounded-time trust/refused-reports`,
  quotas: `
    index quotas refusals streams`,
  recordings: `
    control/transition figures index upload/receive-upload`,
  registrations: `
    events/registration-events index registrations registrations.store ringable`,
  relays: `
    index targets/own-hosts`,
  rooms: `
    control/index images/images images/images.routes index joining/join.dialplan joining/tickets
    layouts/layouts layouts/layouts.routes participants/hidden participants/leave-reasons
    participants/leave-reasons.store participants/participants.store require-room rooms.routes rooms.store
    sessions/conference-profile sessions/listeners sessions/sessions sessions/sessions.store`,
  secrets: `
    check index`,
  users: `
    directory ended/end-user index login-rule numbers shown-logins users.store`,
};

/** Paths of all public files, by domain. */
export const PUBLIC_FILES: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(PUBLIC).map(([domain, names]) => [
    domain,
    names
      .trim()
      .split(/\s+/)
      .map((name) => `src/domains/${domain}/${name}`),
  ]),
);
