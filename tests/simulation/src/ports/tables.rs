//! What the simulator adds to the ports over the tables: each request is one of a host, which takes
//! time and may fail, and what it did is written down and looked at.

use spillway_core::budget::Revision;
use spillway_core::id::AccountId;
use spillway_memory::tables::{Settled, Tables};
use spillway_memory::{self as memory, Did, Requests};
use spillway_service::port::{Read, StoreError};

use crate::host::Host;
use crate::stored::LAG_MAX;
use crate::watch::Caller;
use crate::world::World;

impl Requests for Host {
    type World = World;

    fn caller(&self) -> Caller {
        self.caller()
    }

    fn request_id(&self) -> u64 {
        self.shared.world().dice.any()
    }

    async fn request<R: Send>(
        &self,
        what: &'static str,
        effect: impl FnMut(&mut World) -> R + Send,
    ) -> Result<R, StoreError> {
        self.store(what, effect).await
    }
}

impl memory::World for World {
    type Caller = Caller;

    fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn read_as_of(&mut self, how: Read) -> u64 {
        self.read_as_of(how)
    }

    fn revision(&self, account: &AccountId) -> Option<Revision> {
        self.revision_now(account)
    }

    fn announce(&mut self, account: &AccountId) {
        self.announce(account);
    }

    fn saw(&mut self, caller: Caller, did: Did<'_>) {
        let by = caller.invocation;
        match did {
            Did::Budget { account, before, next } => {
                let (version, holds) = (next.version, &next.holds);
                self.event(format_args!("{by} budget of {account} {version}: {holds:?}"));
                self.saw_budget(caller, account, before, next);
            }
            Did::App { before, next } => {
                let (version, holds) = (next.version, &next.holds);
                self.event(format_args!("{by} budget of the app {version}: {holds:?}"));
                self.saw_app_budget(caller, before, next);
            }
            Did::Cursor { account, before, next } => {
                self.saw_cursor(account, before, next);
                self.event(format_args!("{by} cursor of {account}: {next:?}"));
            }
            Did::Marks(account) => self.event(format_args!("{by} marks {account}")),
            Did::Wakes(account) => self.event(format_args!("{by} wakes {account}")),
            Did::Leases(account, mark) => {
                self.event(format_args!("{by} leases {account}: {mark:?}"));
                if mark.is_some() {
                    self.saw_lease(caller, account);
                }
            }
            Did::Settles(account, due, settled) => {
                self.event(format_args!("{by} settles {account} until {due:?}: {settled:?}"));
                match settled {
                    Settled::Due => self.saw_settled(caller, account, due),
                    Settled::Unmarked => self.saw_unmarked(account),
                    Settled::Refused => {}
                }
            }
            Did::EndsLease(account) => self.saw_settled(caller, account, None),
            of_upkeep => self.saw_of_upkeep(caller, of_upkeep),
        }
    }
}

impl World {
    /// The instant whose state a read sees, in milliseconds since 1970.
    pub(crate) fn read_as_of(&mut self, how: Read) -> u64 {
        match how {
            Read::Consistent => self.now,
            Read::Eventual => self.now.saturating_sub(self.dice.between(0..=LAG_MAX)),
        }
    }

    fn saw_of_upkeep(&mut self, caller: Caller, did: Did<'_>) {
        let by = caller.invocation;
        match did {
            Did::Hears(account, at) => {
                self.event(format_args!("{account} was heard of at {at}"));
                self.saw_heard(account, at);
            }
            Did::Visits(account, record) => {
                self.event(format_args!("{by} visits {account}: {record:?}"));
            }
            Did::Notes(account, upkeep) => {
                self.event(format_args!("{by} notes of {account}: {upkeep:?}"));
            }
            Did::EndsVisit { account, upkeep, due, is_settled } => self.event(format_args!(
                "{by} settles upkeep of {account} until {due}, {is_settled}: {upkeep:?}"
            )),
            Did::Asks(account, request) => {
                self.event(format_args!("asked of upkeep for {account}: {request:?}"));
            }
            Did::Names(account, app_scoped) => {
                self.event(format_args!("{account} is named {app_scoped}"));
            }
            Did::StrikesOff(account) => {
                self.event(format_args!("{account} is struck off"));
                self.saw_struck_off(account);
            }
            Did::KeepsNext(account, is_kept) => {
                self.event(format_args!("{by} keeps the next token of {account}: {is_kept}"));
            }
            Did::Swaps(account, is_there) => {
                self.event(format_args!("{by} swaps the token of {account}: {is_there}"));
            }
            Did::Removes(account) => {
                self.saw_removed(caller, account);
                if self.is_connected(account) {
                    self.event(format_args!("{account} is removed"));
                }
            }
            Did::Expires(account) => {
                self.event(format_args!("the counters of {account} come to an end"));
                self.saw_expiring(account);
            }
            Did::Deletes(code) => self.event(format_args!("the deletion {code} is done")),
            Did::Tells(entry) => {
                self.event(format_args!("{by} tells of {}: {:?}", entry.account, entry.what));
                self.saw_told(caller, entry);
            }
            _ => {}
        }
    }
}
