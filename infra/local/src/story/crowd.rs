//! Lets the people of a conversation act in virtual time: on each message that the simulated Meta has
//! delivered to them, and never on anything that Spillway says of itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::seed::seed;
use spillway_core::time::Timestamp;
use spillway_graph::{Action, Fault, FaultKind, GraphSim, SentMessage};
use spillway_judge::Reached;

use super::people::{Act, Kind, Person, Step};
use super::trace::Said;
use crate::driver::Delivery;

/// How long after a message its echo is delivered.
const ECHO_AFTER: Duration = Duration::from_millis(900);

/// One delivery in so many is repeated.
const REPEATED_ONE_IN: u64 = 15;

/// The people who talk to an account, and what they are about to do.
pub(super) struct Crowd {
    account: AccountId,
    graph: GraphSim,
    seed: u64,
    people: HashMap<RecipientId, Somebody>,
    /// What people are about to do, by when; what comes at the same instant in the order planned.
    acts: BTreeMap<(Timestamp, u64), Planned>,
    planned: u64,
    /// Messages at Meta that people have reacted to.
    seen: usize,
    /// What has reached people, in order.
    pub(super) reached: Vec<Reached>,
    /// Those who have given their e-mail address.
    pub(super) gave_address: BTreeSet<RecipientId>,
    /// Those whom the opening has reached.
    pub(super) opened: BTreeSet<RecipientId>,
}

/// A person, and what has reached them.
struct Somebody {
    is: Person,
    comment: CommentId,
    /// How often each step has.
    times: BTreeMap<Step, usize>,
}

/// What somebody is about to do.
struct Planned {
    person: RecipientId,
    act: Act,
    /// What the button of the message that they react to carries, with its title.
    button: Option<(String, String)>,
}

impl Crowd {
    /// The people who write the wanted ones of these comments.
    pub(super) fn new(account: &AccountId, comments: &[Said], graph: &GraphSim, seed: u64) -> Self {
        graph.echo_after(vec![ECHO_AFTER]);
        let wanted: Vec<&Said> = comments.iter().filter(|said| said.is_wanted).collect();
        let count = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
        let mut people = HashMap::new();
        for (number, said) in (0..count).zip(wanted) {
            let is = Person::new(number, count, seed);
            let (id, comment) = (said.comment.author.clone(), said.comment.id.clone());
            if is.follows_already() {
                graph.change_person(account.clone(), id.clone(), |them| them.follows = Some(true));
            }
            if is.kind == Kind::Unreached {
                let silence = Fault::new(FaultKind::NoAnswerBeforeEffect).times(u64::MAX);
                graph.order_fault(silence.for_person(id.clone()).for_action(Action::Message));
            }
            people.insert(id, Somebody { is, comment, times: BTreeMap::new() });
        }
        Self {
            account: account.clone(),
            graph: graph.clone(),
            seed,
            people,
            acts: BTreeMap::new(),
            planned: 0,
            seen: 0,
            reached: Vec::new(),
            gave_address: BTreeSet::new(),
            opened: BTreeSet::new(),
        }
    }

    /// When somebody does something next.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.acts.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Lets people read what has reached them since the last time, and plans what they do then.
    ///
    /// # Errors
    /// Fails if a message has reached somebody that the campaign does not have, or that is not for
    /// them.
    pub(super) fn read(&mut self) -> Result<()> {
        let mut new = self.graph.messages_since(self.seen);
        self.seen += new.len();
        // Calls of one invocation race.
        new.sort_by(|a, b| (a.at, &a.person, &a.id).cmp(&(b.at, &b.person, &b.id)));
        new.into_iter().try_for_each(|message| self.react(&message))
    }

    fn react(&mut self, message: &SentMessage) -> Result<()> {
        let SentMessage { account, person, content, at, .. } = message;
        let step = Step::of(content).with_context(|| format!("no such message: {content:?}"))?;
        let known = self.people.get_mut(person);
        let somebody = known.with_context(|| format!("{person} has not commented"))?;
        let nth = somebody.times.entry(step).or_default();
        *nth += 1;
        let (name, times_max) = step.told();
        self.reached.push(Reached {
            at: *at,
            account: account.clone(),
            person: person.clone(),
            origin: somebody.comment.clone(),
            step: name,
            times_max,
        });
        if step == Step::Opening {
            self.opened.insert(person.clone());
        }
        let button = content.buttons.first();
        let button =
            button.and_then(|button| Some((button.title.clone(), button.payload.clone()?)));
        for (after, act) in somebody.is.acts(step, *nth) {
            let planned = Planned { person: person.clone(), act, button: button.clone() };
            self.acts.insert((*at + after, self.planned), planned);
            self.planned += 1;
        }
        Ok(())
    }

    /// Lets somebody do what is due next, now. Returns what Meta tells of it, as deliveries to come.
    pub(super) fn act(&mut self, now: Timestamp) -> Vec<Delivery> {
        let Some(((_, nth), Planned { person, act, button })) = self.acts.pop_first() else {
            return Vec::new();
        };
        let mid = format!("aWdfZm{nth:013}");
        let told = match act {
            Act::Follow => {
                let change = |them: &mut spillway_graph::Person| them.follows = Some(true);
                self.graph.change_person(self.account.clone(), person.clone(), change);
                None
            }
            Act::Block => {
                let change = |them: &mut spillway_graph::Person| them.has_blocked = true;
                self.graph.change_person(self.account.clone(), person.clone(), change);
                None
            }
            Act::TakeOver => {
                let text = "Hi, it's me! How can I help?";
                self.graph.write_by_hand(self.account.clone(), person.clone(), text);
                None
            }
            Act::Write(text) => Some(("message", json!({ "mid": mid, "text": text }))),
            Act::GiveAddress(address) => {
                self.gave_address.insert(person.clone());
                Some(("message", json!({ "mid": mid, "text": address })))
            }
            Act::Tap => button.map(|(title, payload)| {
                ("postback", json!({ "mid": mid, "title": title, "payload": payload }))
            }),
        };
        told.map(|told| self.tell(&person, told, nth, now)).unwrap_or_default()
    }

    /// Somebody writes or taps: their window is open, and Meta tells of it, now and then twice.
    fn tell(
        &self,
        person: &RecipientId,
        (member, value): (&str, Value),
        nth: u64,
        now: Timestamp,
    ) -> Vec<Delivery> {
        self.graph.wrote(self.account.clone(), person.clone(), now);
        let mut item = json!({
            "sender": { "id": person },
            "recipient": { "id": self.account },
            "timestamp": now.as_millis(),
        });
        item[member] = value;
        let entry = json!([{ "id": self.account, "time": now.as_millis(), "messaging": [item] }]);
        let body = json!({ "object": "instagram", "entry": entry }).to_string().into_bytes();
        let draw = |what: &str, n: u64| seed(&[what, &self.seed.to_string(), &nth.to_string()]) % n;
        let at = now + Duration::from_millis(200 + draw("delay", 2300));
        let mut deliveries = vec![Delivery { at, body: body.clone() }];
        if draw("repeated?", REPEATED_ONE_IN) == 0 {
            let at = at + Duration::from_millis(100 + draw("repeated", 240_000));
            deliveries.push(Delivery { at, body });
        }
        deliveries
    }
}
