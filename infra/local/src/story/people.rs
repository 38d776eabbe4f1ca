//! The people of a conversation: who they are, and what they do after each message that reaches
//! them. Each is a function of the seed and of their number, so the same seed plays the same people.

use std::time::Duration;

use spillway_core::seed::seed;
use spillway_graph::Content;

/// The campaign that they talk to, with every part that may follow an opening.
pub(super) const CAMPAIGN: &str = r#"[[account]]
id = "17841400000000001"

[[account.campaign]]
id = "guide"
keywords = ["guide", "guía", "link"]
messages = [
  "Hi {username|there}! Answer YES and I'll send you the guide.",
  "Hey {username|there}, the guide is ready. Answer YES and it's yours.",
]

[account.campaign.then]
answer = ["yes", "sí"]
follow = { ask = ["Follow me first, then tap the button"], button = "I follow", tries = 2 }
email = { ask = ["Which e-mail shall I send it to?"], again = ["That doesn't look right"], tries = 2 }
deliver = [{ text = "Here it is!", buttons = [{ title = "Open", url = "https://example.com/guide" }] }]
follow_up = [{ after = "6h", messages = ["Did you get to read it?"], unless = "answered" }]
"#;

/// A step of the campaign, as it is known at Meta: by what its message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    Opening,
    Follow,
    Email,
    EmailAgain,
    Delivery,
    FollowUp,
}

impl Step {
    /// Each step with its name, with words that no other step's message has, and how often it may
    /// reach one person.
    const ALL: [(Self, &str, &str, usize); 6] = [
        (Self::Opening, "opening", "Answer YES", 1),
        (Self::Follow, "follow", "Follow me first", 2),
        (Self::Email, "email", "Which e-mail", 1),
        (Self::EmailAgain, "again", "doesn't look right", 2),
        (Self::Delivery, "deliver", "Here it is", 1),
        (Self::FollowUp, "follow_up", "get to read it", 1),
    ];

    /// The step that a message is; `None` if the campaign says nothing like it.
    pub(super) fn of(content: &Content) -> Option<Self> {
        let text = content.text.as_deref()?;
        let found = Self::ALL.into_iter().find(|(_, _, words, _)| text.contains(words));
        found.map(|(step, ..)| step)
    }

    /// Its name, and how often it may reach one person.
    pub(super) fn told(self) -> (&'static str, usize) {
        let found = Self::ALL.into_iter().find(|(step, ..)| *step == self);
        found.map_or(("", 0), |(_, name, _, times)| (name, times))
    }
}

/// Something that a person does, or that a human does in the account's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// They write this.
    Write(String),
    /// They write their e-mail address.
    GiveAddress(String),
    /// They tap the button of the message that reached them.
    Tap,
    /// They follow the account.
    Follow,
    /// They block the account.
    Block,
    /// A human writes to them in the account's name.
    TakeOver,
}

/// What sets a person apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// They answer or not, as people do.
    Usual,
    /// They write STOP after this step.
    Stops(Step),
    /// They block the account as soon as they have answered.
    Blocks,
    /// A human takes their thread over.
    TakenOver,
    /// Meta answers nothing when the account writes to them, and delivers nothing.
    Unreached,
}

/// When a person follows the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follows {
    /// They did before.
    Already,
    /// When they are asked to.
    WhenAsked,
    /// They tap without following, and follow hours after they were asked again.
    Late,
    /// They never do.
    Never,
}

/// A person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    /// Their number among those who comment.
    number: u32,
    seed: u64,
    pub(super) kind: Kind,
    follows: Follows,
}

/// Of so many people one stops, one blocks, and one gets no answer from Meta.
const STOPS_ONE_IN: u32 = 25;
const BLOCKS_ONE_IN: u32 = 40;
const UNREACHED_ONE_IN: u32 = 700;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How long the second of two quick taps comes after the first.
const DOUBLE_TAP: Duration = Duration::from_millis(400);

impl Person {
    /// The person of this number among `people`, from 0.
    pub(super) fn new(number: u32, people: u32, root: u64) -> Self {
        let first = |what: &str, of: u32| {
            let of = of.min(people).max(1);
            u32::try_from(seed(&[what, &root.to_string()]) % u64::from(of)).unwrap_or(0)
        };
        let is_one_in = |of: u32, what: &str| number % of == first(what, of);
        let kind = if number == first("taken over", people) {
            Kind::TakenOver
        } else if is_one_in(UNREACHED_ONE_IN, "unreached") {
            Kind::Unreached
        } else if is_one_in(STOPS_ONE_IN, "stops") {
            let steps = [Step::Opening, Step::Follow, Step::Email, Step::Delivery];
            Kind::Stops(steps[(number / STOPS_ONE_IN) as usize % steps.len()])
        } else if is_one_in(BLOCKS_ONE_IN, "blocks") {
            Kind::Blocks
        } else {
            Kind::Usual
        };
        let mut person = Self { number, seed: root, kind, follows: Follows::Already };
        let asked = kind == Kind::Stops(Step::Follow);
        person.follows = match person.draw("follows", 100) {
            0..30 if !asked => Follows::Already,
            0..72 => Follows::WhenAsked,
            72..88 => Follows::Late,
            _ => Follows::Never,
        };
        person
    }

    /// Whether they follow the account when they comment.
    pub(super) fn follows_already(&self) -> bool {
        self.follows == Follows::Already
    }

    /// What they do after the `nth` message of this step has reached them, counted from 1, each so
    /// long after it.
    pub(super) fn acts(&self, step: Step, nth: usize) -> Vec<(Duration, Act)> {
        let soon = self.after("soon", step, 8 * SECOND, 6 * HOUR);
        let write = |text: &str| Act::Write(text.to_owned());
        if self.kind == Kind::Stops(step) {
            return vec![(soon, write("STOP"))];
        }
        match (step, self.kind) {
            (Step::Opening, Kind::Blocks) => {
                vec![(soon, write("yes")), (soon + SECOND, Act::Block)]
            }
            (Step::Opening, Kind::TakenOver) => {
                vec![(MINUTE, Act::TakeOver), (soon + 2 * MINUTE, write("Yes please!"))]
            }
            (Step::Opening, Kind::Unreached | Kind::Stops(_)) => vec![(soon, write("yes"))],
            (Step::Opening, Kind::Usual) => self.answers(soon),
            (Step::Follow, _) => self.answers_the_gate(nth, soon),
            (Step::Email, _) => match self.draw("email", 100) {
                // Their address is asked for once, and they have no say.
                _ if self.kind != Kind::Usual => vec![(soon, self.address())],
                0..12 => Vec::new(),
                12..35 => vec![(soon, write("none of your business"))],
                _ => vec![(soon, self.address())],
            },
            (Step::EmailAgain, _) => vec![(soon, self.address())],
            (Step::Delivery, _) if self.draw("thanks", 4) == 0 => {
                let later = self.after("thanks", step, MINUTE, 5 * HOUR);
                vec![(later, write("thank you! 🙏"))]
            }
            (Step::FollowUp, _) if self.draw("chat", 5) == 0 => vec![(soon, write("yes I did"))],
            (Step::Delivery | Step::FollowUp, _) => Vec::new(),
        }
    }

    /// Whether and when they answer the opening.
    fn answers(&self, soon: Duration) -> Vec<(Duration, Act)> {
        let yes = ["YES", "yes", "Yes please!", "sí 🙏", "yes yes yes"];
        let yes = yes[self.draw("yes", yes.len() as u64) as usize];
        let yes = |after: Duration| (after, Act::Write(yes.to_owned()));
        match self.draw("answers", 100) {
            0..20 => Vec::new(),
            20..30 => {
                let question = Act::Write("what is this?".to_owned());
                vec![(soon, question), yes(soon + 5 * MINUTE)]
            }
            // The next day: an opening may be answered whenever its person sees it.
            30..38 => vec![yes(soon + 20 * HOUR)],
            _ => vec![yes(soon)],
        }
    }

    /// What they do when they are asked to follow, for the `nth` time.
    fn answers_the_gate(&self, nth: usize, soon: Duration) -> Vec<(Duration, Act)> {
        let taps = |follow: Option<Duration>, tap: Duration| {
            let follow = follow.map(|after| (after, Act::Follow));
            let twice = (self.draw("twice", 3) == 0).then(|| (tap + DOUBLE_TAP, Act::Tap));
            follow.into_iter().chain([(tap, Act::Tap)]).chain(twice).collect()
        };
        let late = self.after("late", Step::Follow, 2 * HOUR, 12 * HOUR);
        match (self.follows, nth) {
            (Follows::Already | Follows::WhenAsked, _) => taps(Some(soon), soon + 5 * SECOND),
            (Follows::Late, 1) => taps(None, soon),
            (Follows::Late, _) => taps(Some(late), late + 10 * SECOND),
            (Follows::Never, 1) if self.draw("tries", 2) == 0 => taps(None, soon),
            (Follows::Never, _) => Vec::new(),
        }
    }

    fn address(&self) -> Act {
        Act::GiveAddress(format!("viewer{}@mail.example", self.number))
    }

    /// A number below `n`, drawn for `what`.
    fn draw(&self, what: &str, n: u64) -> u64 {
        seed(&[what, &self.seed.to_string(), &self.number.to_string()]) % n
    }

    /// A time between these, mostly near the first.
    fn after(&self, what: &str, step: Step, least: Duration, most: Duration) -> Duration {
        let part = self.draw(&format!("{what} {step:?}"), 1_000_000) as f64 / 1e6;
        least + (most - least).mul_f64(part * part * part)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use spillway_core::campaign::Campaign;
    use spillway_core::content::Draft;
    use spillway_core::conversation::Step as Kept;
    use spillway_core::profile::Profile;
    use spillway_core::send::CampaignStep;
    use spillway_service::accounts_file;

    use super::*;

    fn people(count: u32, seed: u64) -> Vec<Person> {
        (0..count).map(|number| Person::new(number, count, seed)).collect()
    }

    #[test]
    fn few_people_are_enough_for_each_kind() {
        for seed in 1..20 {
            let all = people(60, seed);
            let count = |is: fn(&Kind) -> bool| all.iter().filter(|one| is(&one.kind)).count();
            assert_eq!(count(|kind| *kind == Kind::TakenOver), 1, "one thread alone");
            assert!(count(|kind| *kind == Kind::Blocks) >= 1);
            assert!(count(|kind| matches!(kind, Kind::Stops(_))) >= 1);
            assert!(count(|kind| *kind == Kind::Unreached) <= 1);
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_people() {
        let acts = |seed: u64| -> Vec<_> {
            people(50, seed).iter().map(|one| one.acts(Step::Opening, 1)).collect()
        };
        assert_eq!(acts(3), acts(3));
        assert_ne!(acts(3), acts(4));
        let kinds: BTreeSet<String> =
            people(3000, 1).iter().map(|one| format!("{:?}", one.kind)).collect();
        assert_eq!(kinds.len(), 8, "{kinds:?}");
    }

    #[test]
    fn each_message_of_the_campaign_is_known_as_its_step() {
        let accounts = accounts_file::parse(CAMPAIGN, &Profile::careful()).unwrap();
        let campaign: &Campaign = &accounts[0].campaigns[0];
        for (step, kept) in [
            (Step::Opening, CampaignStep::Opening),
            (Step::Follow, CampaignStep::Then(Kept::FollowAsk)),
            (Step::Email, CampaignStep::Then(Kept::EmailAsk)),
            (Step::EmailAgain, CampaignStep::Then(Kept::EmailAgain)),
            (Step::Delivery, CampaignStep::Then(Kept::Deliver(0))),
            (Step::FollowUp, CampaignStep::Then(Kept::FollowUp(0))),
        ] {
            let drafts: Vec<Draft> = campaign.drafts(kept);
            assert!(!drafts.is_empty());
            for draft in drafts {
                let text = draft.templates().next().map(ToString::to_string);
                let content = Content { text, ..Content::default() };
                assert_eq!(Step::of(&content), Some(step), "{content:?}");
            }
        }
    }
}
