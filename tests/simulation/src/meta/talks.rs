//! People who do something after what they are told: they answer, tap again and again, follow late or
//! never, give an address, write STOP, or are written to by a human. What reaches them is judged by
//! what they did, whatever Spillway has stored of it.

use std::collections::{BTreeMap, BTreeSet};

use spillway_core::content::{Action, Message};
use spillway_core::conversation::{DISCLOSURE_LAPSE, Follows, Then, Unknown, Unless};
use spillway_core::id::{AccountId, RecipientId, SendId};
use spillway_core::seed::seed;
use spillway_core::send::PendingSend;
use spillway_core::time::Timestamp;
use spillway_meta::graph::Profile;
use spillway_meta::webhook::Echo;
use spillway_meta::webhook::conversation::{
    self, ConversationEvent, MessageState, Postback, QuickReply, Thread, What,
};

use super::{Ask, Nature, millis};
use crate::dice::Dice;
use crate::scenario::{AccountPlan, DISCLOSURE, Order, Post, Theme, Told, Trouble};
use crate::world::World;

/// What people do, and what has reached them.
#[derive(Default)]
pub(super) struct Talks {
    people: BTreeMap<RecipientId, Talker>,
    /// What people do, by the id of its message.
    acts: BTreeMap<String, Act>,
    /// What is yet to be told.
    posts: Vec<Post>,
    /// People to whom a call had no clear answer.
    doubted: BTreeSet<RecipientId>,
}

/// Somebody who is written to.
struct Talker {
    temper: Temper,
    /// What has reached them: when, and its step.
    got: Vec<(u64, String)>,
    /// When each of these reached them, and whether it began with the disclosure.
    disclosed: Vec<(u64, bool)>,
    /// From when on they follow the account.
    follows_at: Option<u64>,
    /// How often they were asked to follow.
    asked: u32,
}

/// How somebody is, drawn from the seed and their id.
struct Temper {
    /// How long they take for an answer; never, if `None`.
    answers_after: Option<u64>,
    /// How often they do each thing.
    times: u64,
    follows: Follow,
    email: Email,
    /// After how many messages they write STOP, and how long it takes them to write START.
    stops: Option<(usize, Option<u64>)>,
    /// After how many messages a human writes to them.
    human: Option<usize>,
    /// Whether they write something else now and then.
    chats: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    Already,
    WhenAsked,
    Late,
    Never,
    /// Meta does not tell.
    Hidden,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Email {
    Good,
    BadFirst,
    Never,
}

/// Something that a person does, or that a human does to them.
struct Act {
    person: RecipientId,
    at: u64,
    kind: Kind,
    /// When a webhook that told of it was answered.
    heard_at: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stop,
    Start,
    Human,
    Other,
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// For how long Meta lets somebody be written to after they have done something.
const WINDOW: u64 = 24 * HOUR;

/// For how long a human who writes has the thread.
const TAKEOVER: u64 = 12 * HOUR;

/// How much earlier than its message a disclosure may have been decided on.
const LAPSE_SLACK: u64 = 24 * HOUR;

/// How long a call may be under way that was decided on before something was heard.
const UNDER_WAY: u64 = MINUTE;

/// How far two clocks are apart.
const EARLY: u64 = 2 * SECOND;

impl Temper {
    fn drawn(dice: &mut Dice) -> Self {
        // What comes faster is taken for the end of what they wrote before.
        let soon = [10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 3 * HOUR];
        Self {
            answers_after: dice.chance(0.85).then(|| dice.pick(&soon)),
            times: dice.pick(&[1, 1, 2, 5]),
            follows: dice.pick(&[
                Follow::Already,
                Follow::WhenAsked,
                Follow::WhenAsked,
                Follow::Late,
                Follow::Never,
                Follow::Hidden,
            ]),
            email: dice.pick(&[Email::Good, Email::Good, Email::BadFirst, Email::Never]),
            stops: dice.chance(0.2).then(|| {
                let starts = dice.chance(0.5).then(|| dice.pick(&soon));
                (dice.between(1..=4) as usize, starts)
            }),
            human: dice.chance(0.15).then(|| dice.between(1..=4) as usize),
            chats: dice.chance(0.3),
        }
    }
}

impl World {
    fn talks_on(&self) -> bool {
        self.scenario.theme == Theme::Talks
    }

    /// Some seeds lose what people do: no webhook ever tells of it.
    fn is_lossy(&self) -> bool {
        self.scenario.seed.is_multiple_of(4)
    }

    fn talker(&mut self, person: &RecipientId) -> &mut Talker {
        let own = self.scenario.seed ^ seed(&[person.as_str()]);
        self.meta.talks.people.entry(person.clone()).or_insert_with(|| {
            let temper = Temper::drawn(&mut Dice::new(own));
            let follows_at = (temper.follows == Follow::Already).then_some(0);
            let (got, disclosed) = (Vec::new(), Vec::new());
            Talker { temper, got, disclosed, follows_at, asked: 0 }
        })
    }

    /// A send of a conversation was made.
    pub(crate) fn saw_turn(&mut self, send: &SendId, not_before: Option<Timestamp>) {
        let message = super::Message { nature: Nature::Answerable, not_before, accepted: 0 };
        self.meta.messages.entry(send.clone()).or_insert(message);
    }

    /// What Meta tells of a person who has written.
    pub(crate) fn profile(&mut self, person: &RecipientId) -> Profile {
        let now = self.now;
        if !self.talks_on() || self.last_act(person).is_none() {
            return Profile::UNKNOWN;
        }
        let talker = self.talker(person);
        let follows = match talker.temper.follows {
            Follow::Hidden => Follows::Unknown,
            _ if talker.follows_at.is_some_and(|at| at <= now) => Follows::Yes,
            _ => Follows::No,
        };
        Profile { follows, ..Profile::UNKNOWN }
    }

    /// What people do that is to be told from now on.
    pub(crate) fn acts_to_tell(&mut self) -> Vec<Post> {
        std::mem::take(&mut self.meta.talks.posts)
    }

    /// When somebody last did something.
    fn last_act(&self, person: &RecipientId) -> Option<u64> {
        let acts = self.meta.talks.acts.values();
        let theirs = acts.filter(|act| act.person == *person && act.kind != Kind::Human);
        theirs.map(|act| act.at).filter(|&at| at <= self.now).max()
    }

    /// The acts of a kind of which somebody was told before `heard_by`.
    fn acts_heard(
        &self,
        person: &RecipientId,
        kind: Kind,
        heard_by: u64,
    ) -> impl Iterator<Item = &Act> {
        let acts = self.meta.talks.acts.values();
        acts.filter(move |act| {
            act.person == *person
                && act.kind == kind
                && act.heard_at.is_some_and(|heard_at| heard_at <= heard_by)
        })
    }

    /// Whoever told of these was told that they are taken.
    pub(crate) fn saw_acts_heard(&mut self, events: &[ConversationEvent]) {
        let now = self.now;
        for event in events {
            let id = match &event.what {
                What::Message(message) => message.id.as_ref(),
                What::Postback(postback) => postback.id.as_ref(),
                _ => None,
            };
            if let Some(act) = id.and_then(|id| self.meta.talks.acts.get_mut(id)) {
                act.heard_at.get_or_insert(now);
            }
        }
    }

    /// Whoever told of this was told that it is taken.
    pub(crate) fn saw_echo_heard(&mut self, echo: &Echo) {
        let now = self.now;
        let act = echo.message.as_ref().and_then(|id| self.meta.talks.acts.get_mut(id));
        if let Some(act) = act {
            act.heard_at.get_or_insert(now);
        }
    }

    /// A message has reached somebody: it is judged, and they do something.
    pub(super) fn talks(
        &mut self,
        account: &AccountId,
        ask: &Ask,
        person: &RecipientId,
        said: &Message,
    ) {
        if !self.talks_on() {
            return;
        }
        let disclosure = said.text().strip_prefix(DISCLOSURE).map(str::trim_start);
        let text = disclosure.unwrap_or(said.text());
        let step = text.split([' ', ':', ',', '?']).next().unwrap_or_default().to_owned();
        self.record.count(match &*step {
            "opening" => "talk: opened",
            "follow" => "talk: asked to follow",
            "email" => "talk: asked for an address",
            later if later.starts_with("later") => "talk: followed up",
            "news" => "talk: news",
            _ => "talk: delivered",
        });
        self.check_when(ask, person, &step);
        // Where an attempt seemed not to have arrived, a second one may have been made of it.
        let is_first = match ask {
            Ask::Reply(comment) => self.meta.accepted(comment) == 1,
            _ => ask.event().is_some_and(|key| {
                self.meta.messages_accepted(&SendId { account: account.clone(), key }) == 1
            }),
        };
        if !is_first {
            return;
        }
        self.check_step(person, &step);
        let now = self.now;
        let talker = self.talker(person);
        talker.got.push((now, step.clone()));
        talker.disclosed.push((now, disclosure.is_some()));
        if disclosure.is_some() {
            self.record.count("talk: disclosed");
        }
        self.react(account, person, &step, said);
    }

    /// When humans have written to somebody.
    fn human_acts(&self, person: &RecipientId) -> impl Iterator<Item = u64> {
        let acts = self.meta.talks.acts.values();
        let theirs = acts.filter(move |act| act.person == *person && act.kind == Kind::Human);
        theirs.map(|act| act.at)
    }

    /// It is not known whether a message to somebody has arrived.
    pub(crate) fn saw_doubt(&mut self, send: &PendingSend) {
        self.meta.talks.doubted.extend(send.to.recipient().cloned());
    }

    /// Looks at which messages have begun with the disclosure: where nothing goes wrong, the first one
    /// and the first after a human, and never two of one run of messages.
    fn check_disclosures(&mut self, account: &AccountPlan) {
        let is_calm = matches!(self.scenario.trouble, Trouble::None | Trouble::Queues);
        let people: Vec<RecipientId> = self.meta.talks.people.keys().cloned().collect();
        for person in people {
            let humans = self.acts_heard(&person, Kind::Human, u64::MAX);
            let humans: Vec<(u64, u64)> =
                humans.filter_map(|act| Some((act.heard_at?, act.at + TAKEOVER))).collect();
            let got = std::mem::take(&mut self.talker(&person).disclosed);
            let told = || got.iter().filter(|(_, tells)| *tells).map(|&(at, _)| at);
            // A human may have written before the first of two, and be told of after it.
            let wrote: Vec<u64> = self.human_acts(&person).collect();
            let had_human = |from: u64, to: u64| {
                wrote.iter().any(|&at| from < at + TAKEOVER + EARLY && at <= to)
            };
            let twice = told().zip(told().skip(1)).find(|&(first, second)| {
                second + LAPSE_SLACK < first + millis(DISCLOSURE_LAPSE) && !had_human(first, second)
            });
            if let Some((first, second)) = twice {
                self.broken(format!(
                    "{person} is told twice that no human writes: {first}, {second}"
                ));
            }
            // What is called at the same time may arrive before it.
            let is_told = |at: u64| {
                let by = at.saturating_sub(UNDER_WAY);
                let over =
                    humans.iter().filter(|&&(heard_at, until)| heard_at <= by && until <= at);
                let since = over.map(|&(_, until)| until - EARLY).max().unwrap_or(0);
                told().any(|told| since <= told && told <= at + UNDER_WAY)
            };
            let untold = got.iter().find(|&&(at, _)| !is_told(at));
            // One that may have arrived counts as given.
            let is_sure = is_calm && !self.meta.talks.doubted.contains(&person);
            if let Some((at, _)) = untold.filter(|_| is_sure && account.disclosure.is_some()) {
                self.broken(format!("{person} is not told before {at} that no human writes"));
            }
        }
    }

    /// Looks at when something has reached somebody.
    fn check_when(&mut self, ask: &Ask, person: &RecipientId, step: &str) {
        let now = self.now;
        let last = self.last_act(person);
        if matches!(ask, Ask::Message { .. }) && last.is_none_or(|last| last + WINDOW < now) {
            self.broken(format!("{step} reaches {person} outside the window: {last:?}"));
        }
        let before = now.saturating_sub(UNDER_WAY);
        let stop = self.acts_heard(person, Kind::Stop, before).map(|act| act.at).max();
        let started = |stop: u64| {
            let acts = self.meta.talks.acts.values();
            acts.filter(|act| act.person == *person && act.kind == Kind::Start)
                .any(|act| act.at > stop && act.at <= now)
        };
        if let Some(stop) = stop
            && !started(stop)
        {
            self.broken(format!("{step} reaches {person} {} ms after STOP", now - stop));
        }
        let human = self.acts_heard(person, Kind::Human, before).map(|act| act.at).max();
        let is_early = |human: &u64| now + EARLY < human + TAKEOVER && !self.had_wrong_clocks();
        if let Some(human) = human.filter(is_early) {
            self.broken(format!("{step} reaches {person} {} ms after a human wrote", now - human));
        }
    }

    /// Looks at what has reached somebody now.
    fn check_step(&mut self, person: &RecipientId, step: &str) {
        let now = self.now;
        let before = now.saturating_sub(UNDER_WAY);
        let plan = self.scenario.clone();
        let Some(then) = plan.accounts[0].campaigns[0].then.as_ref() else { return };
        let runs = self.runs_begun();
        let most = match step {
            "news" => runs,
            "follow" => then.follow.as_ref().map_or(0, |gate| usize::from(gate.tries)),
            "email" => then.email.as_ref().map_or(0, |email| 1 + usize::from(email.tries)),
            _ => 1,
        };
        let follows = self.talker(person).temper.follows;
        let got = &self.talker(person).got;
        let openings = got.iter().filter(|(_, step)| step == "opening").count();
        let times = got.iter().filter(|(_, other)| other == step).count() + 1;
        let last = format!("deliver-{}", then.deliver.len() - 1);
        let delivered = got.iter().filter(|(_, step)| *step == last);
        let delivered = delivered.map(|&(at, _)| at).max();
        if step == "news" && times > most {
            self.broken(format!("{step} reaches {person} {times} times in {most} runs"));
        }
        if !matches!(step, "opening" | "news") && times > most * openings {
            self.broken(format!("{step} reaches {person} {times} times after {openings} openings"));
        }
        // Nobody knows who follows where a read goes wrong.
        let is_told = self.scenario.rates.meta == 0.0;
        let asks = then.follow.as_ref();
        let is_asked = asks.is_some_and(|gate| is_told || gate.unknown == Unknown::Skip);
        if step.starts_with("deliver") && is_asked && follows == Follow::Never {
            self.broken(format!("{step} reaches {person}, who never followed"));
        }
        let nth = step.strip_prefix("later-").and_then(|nth| nth.parse::<usize>().ok());
        if let Some(follow_up) = nth.and_then(|nth| then.follow_up.get(nth)) {
            let due = delivered.map(|at| at + millis(follow_up.after));
            let is_early = due.is_none_or(|due| now + EARLY < due);
            if is_early && openings == 1 && !self.had_wrong_clocks() {
                self.broken(format!("{step} reaches {person} at {now}, and is due at {due:?}"));
            }
            let acts = self.acts_heard(person, Kind::Other, before);
            let answered =
                acts.filter(|act| delivered.is_some_and(|at| at + EARLY < act.at)).count();
            let is_unwanted = follow_up.unless == Unless::Answered && answered > 0;
            if is_unwanted && openings == 1 && !self.had_wrong_clocks() {
                self.broken(format!("{step} reaches {person}, who has answered"));
            }
        }
    }

    /// How many runs an operator has begun by now.
    fn runs_begun(&self) -> usize {
        let orders = &self.scenario.accounts[0].orders;
        let begun = orders.iter().filter(|&&(at, _)| at <= self.now);
        let names = begun.filter_map(|(_, order)| match order {
            Order::Send(name) => Some(name),
            _ => None,
        });
        names.collect::<BTreeSet<_>>().len()
    }

    /// What somebody does after a message.
    fn react(&mut self, account: &AccountId, person: &RecipientId, step: &str, said: &Message) {
        let now = self.now;
        let count = self.talker(person).got.len();
        let talker = self.talker(person);
        let (times, answers, chats) =
            (talker.temper.times, talker.temper.answers_after, talker.temper.chats);
        let (follows, email) = (talker.temper.follows, talker.temper.email);
        let (stops, human) = (talker.temper.stops, talker.temper.human);
        if human == Some(count) {
            self.human_writes(account, person, now + SECOND);
        }
        if let Some((after, starts)) = stops
            && after == count
        {
            self.writes(account, person, now + 5 * SECOND, "STOP", Kind::Stop);
            if let Some(wait) = starts {
                self.writes(account, person, now + 10 * SECOND + wait, "START", Kind::Start);
            }
        }
        let Some(wait) = answers else { return };
        let payload = payload_of(said);
        match step {
            "opening" => {
                for nth in 0..times.min(2) {
                    self.writes(account, person, now + wait + nth * SECOND, "yes!", Kind::Other);
                }
            }
            "follow" => {
                let talker = self.talker(person);
                talker.asked += 1;
                let is_first = talker.asked == 1;
                match follows {
                    Follow::WhenAsked => {
                        talker.follows_at.get_or_insert(now + wait - SECOND / 2);
                    }
                    Follow::Late if !is_first => return,
                    Follow::Late => {
                        talker.follows_at = Some(now + wait + 10 * MINUTE);
                    }
                    _ => {}
                }
                let Some(payload) = payload else { return };
                for nth in 0..times {
                    self.taps(account, person, now + wait + nth * SECOND / 2, &payload, false);
                }
                if follows == Follow::Late {
                    self.taps(account, person, now + wait + 11 * MINUTE, &payload, false);
                }
            }
            "email" => {
                let is_again = said.text().contains("none");
                let text = match email {
                    Email::Never => return,
                    Email::BadFirst if !is_again => "what for?",
                    Email::Good | Email::BadFirst => "it is me@example.com",
                };
                self.writes(account, person, now + wait, text, Kind::Other);
            }
            _ => {
                if let Some(payload) = payload {
                    let is_reply = matches!(said, Message::QuickReplies { .. });
                    for nth in 0..times {
                        let at = now + wait + nth * SECOND / 2;
                        self.taps(account, person, at, &payload, is_reply);
                    }
                }
                if chats {
                    self.writes(account, person, now + 2 * wait, "thanks", Kind::Other);
                }
            }
        }
    }

    fn writes(
        &mut self,
        account: &AccountId,
        person: &RecipientId,
        at: u64,
        text: &str,
        kind: Kind,
    ) {
        let id = self.acts(person, at, kind);
        let what = What::Message(conversation::Message {
            id: Some(id),
            text: Some(text.to_owned()),
            state: MessageState::Readable,
            ..Default::default()
        });
        self.tell(account, person, at, what);
    }

    fn taps(
        &mut self,
        account: &AccountId,
        person: &RecipientId,
        at: u64,
        payload: &str,
        is_reply: bool,
    ) {
        let id = Some(self.acts(person, at, Kind::Other));
        let payload = Some(payload.to_owned());
        let what = if is_reply {
            let text = Some("More".to_owned());
            let quick_reply = Some(QuickReply { payload });
            What::Message(conversation::Message { id, text, quick_reply, ..Default::default() })
        } else {
            What::Postback(Postback { id, title: Some("I do".into()), payload, referral: None })
        };
        self.tell(account, person, at, what);
    }

    fn human_writes(&mut self, account: &AccountId, person: &RecipientId, at: u64) {
        let echo = Echo {
            account: account.clone(),
            message: Some(self.acts(person, at, Kind::Human)),
            metadata: None,
            recipient: Some(person.clone()),
            sent_at: Some(Timestamp::from_millis(at)),
        };
        for at in self.told_at(at) {
            self.meta.talks.posts.push(Post { at, what: Told::Echo(echo.clone()) });
        }
    }

    fn acts(&mut self, person: &RecipientId, at: u64, kind: Kind) -> String {
        let id = format!("act-{}", self.meta.talks.acts.len());
        let act = Act { person: person.clone(), at, kind, heard_at: None };
        self.meta.talks.acts.insert(id.clone(), act);
        id
    }

    fn tell(&mut self, account: &AccountId, person: &RecipientId, at: u64, what: What) {
        let event = ConversationEvent {
            account: account.clone(),
            sender: Some(person.clone()),
            at: Some(Timestamp::from_millis(at)),
            thread: Thread::Ours,
            is_self: false,
            what,
        };
        for at in self.told_at(at) {
            let what = Told::Conversations(vec![event.clone()]);
            self.meta.talks.posts.push(Post { at, what });
        }
    }

    /// When webhooks tell of something that is done at `at`: late, again, in any order, or never.
    fn told_at(&mut self, at: u64) -> Vec<u64> {
        if self.is_lossy() && self.dice.chance(0.1) {
            self.record.count("talk: lost");
            return Vec::new();
        }
        let late = self.dice.weighted(&[(SECOND, 12), (MINUTE, 3), (HOUR, 1)]);
        let first = at + self.dice.between(0..=late);
        let mut told = vec![first];
        while self.dice.chance(0.25) {
            told.push(first + self.dice.between(0..=late));
        }
        told
    }

    /// Where nothing goes wrong, whoever does what was asked is delivered to.
    pub(crate) fn check_talks(&mut self, account: &AccountPlan) {
        if self.talks_on() {
            self.check_disclosures(account);
        }
        if !self.talks_on() || self.scenario.trouble != Trouble::None || self.is_lossy() {
            return;
        }
        let Some(then) = account.campaigns[0].then.clone() else { return };
        let people: Vec<RecipientId> = self.meta.talks.people.keys().cloned().collect();
        for person in people {
            let Talker { temper, got, .. } = self.talker(&person);
            let openings = got.iter().filter(|(_, step)| step == "opening").count();
            let missing = (0..then.deliver.len())
                .find(|nth| !got.iter().any(|(_, step)| *step == format!("deliver-{nth}")));
            let does_all = temper.does_all(&then);
            let got = format!("{got:?}");
            if let (true, 1, Some(nth)) = (does_all, openings, missing) {
                self.broken(format!("{person} did all, and has no deliver-{nth}: {got}"));
            }
        }
    }
}

impl Temper {
    /// Whether they do what each step asks for, and are left to the campaign.
    fn does_all(&self, then: &Then) -> bool {
        let passes = |unknown: Unknown| match self.follows {
            Follow::Never => false,
            Follow::Hidden => unknown != Unknown::Skip,
            Follow::Already | Follow::WhenAsked | Follow::Late => true,
        };
        self.answers_after.is_some()
            && self.stops.is_none()
            && self.human.is_none()
            && then.follow.as_ref().is_none_or(|gate| passes(gate.unknown))
            && (then.email.is_none() || self.email != Email::Never)
    }
}

/// What a tap on the message sends back.
fn payload_of(said: &Message) -> Option<String> {
    match said {
        Message::QuickReplies { payload, .. } => Some(payload.clone()),
        Message::Buttons { buttons, .. } | Message::Card { buttons, .. } => {
            buttons.iter().find_map(|button| match &button.action {
                Action::Answer(payload) => Some(payload.clone()),
                Action::Open(_) => None,
            })
        }
        Message::Text(_) => None,
    }
}
