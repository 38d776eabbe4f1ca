//! Which campaign would answer a comment or message, and why.

use serde::Serialize;
use spillway_core::campaign::{But, Campaign, Campaigns, Candidate, Near, Verdict};
use spillway_core::id::CampaignId;

/// What would become of a comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatchView {
    /// The campaign that would answer it.
    pub campaign: Option<CampaignId>,
    /// Why, in a sentence.
    pub why: String,
    /// If none would answer, the one that came nearest.
    pub nearest: Option<CampaignId>,
    /// The other campaigns that would take it, and why they do not get it.
    pub also: Vec<OutrankedView>,
}

/// A campaign that would take a comment which another one answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutrankedView {
    /// The campaign.
    pub campaign: CampaignId,
    /// Why the other one goes first, in a sentence.
    pub why: String,
}

impl OutrankedView {
    fn of(noun: &str, (first, of_first): Wanting<'_>, (other, of_other): Wanting<'_>) -> Self {
        let tolerates = |verdict: &Verdict<'_>| matches!(verdict, Verdict::Tolerates(_));
        let why = if !first.media.is_empty() && other.media.is_empty() {
            format!("{} is for certain media, and goes first", first.id)
        } else if !first.keywords.is_empty() && other.keywords.is_empty() {
            format!("{} has a keyword, and goes first", first.id)
        } else if !tolerates(of_first) && tolerates(of_other) {
            format!("the {noun} has the keyword of {} as it is, and this one's almost", first.id)
        } else {
            format!("{} is before it in the file", first.id)
        };
        Self { campaign: other.id.clone(), why }
    }
}

/// A campaign that wants a comment.
type Wanting<'a> = (&'a Campaign, &'a Verdict<'a>);

impl MatchView {
    /// Looks for the campaign that would answer a comment.
    pub fn of(campaigns: &Campaigns, candidate: &Candidate<'_>) -> Self {
        let noun = candidate.trigger.noun();
        let verdicts = campaigns.verdicts(candidate);
        let mut wanting = verdicts.iter().filter_map(|(campaign, verdict)| match verdict {
            Verdict::Misses(_) => None,
            verdict => Some((*campaign, verdict)),
        });
        if let Some((campaign, verdict)) = wanting.next() {
            let mut why = match verdict {
                Verdict::Wants(Some(keyword)) => format!("the {noun} has the keyword «{keyword}»"),
                Verdict::Tolerates(keyword) => {
                    format!("the {noun} has almost the keyword «{keyword}», which is tolerated")
                }
                _ => format!("the campaign takes every {noun}"),
            };
            if candidate.media.is_none() && !campaign.media.is_empty() {
                why += ", if it is on the campaign's media";
            }
            let first = (campaign, verdict);
            let also: Vec<_> = wanting.map(|other| OutrankedView::of(noun, first, other)).collect();
            if !also.is_empty() {
                let later: Vec<&str> = also.iter().map(|other| other.campaign.as_str()).collect();
                why += &format!("; {} would take it too, but later in order", later.join(", "));
            }
            return Self { campaign: Some(campaign.id.clone()), why, nearest: None, also };
        }
        // What takes everything of another kind is near to a person who asks, if nothing else is.
        let takes_others = || {
            let mut all = campaigns.iter().filter(|one| !one.is_by_hand());
            let takes = all.find(|one| one.keywords.is_empty() && !one.is_on(candidate.trigger));
            takes.map(|campaign| (campaign, Near::But(But::OtherTrigger)))
        };
        let Some((nearest, near)) = campaigns.nearest(candidate).or_else(takes_others) else {
            let why = if verdicts.is_empty() {
                "the account has no campaigns".to_owned()
            } else {
                format!("no campaign has a keyword that is in the {noun}, or almost is")
            };
            return Self { campaign: None, why, nearest: None, also: Vec::new() };
        };
        let id = &nearest.id;
        let why = match near {
            Near::But(but) => format!("{id} would take it, but {}", kept_by(nearest, but, noun)),
            Near::Almost(keyword, None) => {
                format!("the {noun} almost has the keyword «{keyword}» of {id}")
            }
            Near::Almost(keyword, Some(but)) => {
                let but = kept_by(nearest, but, noun);
                format!("the {noun} almost has the keyword «{keyword}» of {id}, which {but}")
            }
        };
        Self { campaign: None, why, nearest: Some(id.clone()), also: Vec::new() }
    }
}

/// What keeps a campaign from a comment, as the rest of a sentence about it.
fn kept_by(campaign: &Campaign, but: But<'_>, noun: &str) -> String {
    match but {
        But::OtherTrigger => {
            let on: Vec<&str> = campaign.on.iter().map(|trigger| trigger.as_str()).collect();
            format!("is on {} alone", on.join(", "))
        }
        But::Paused => "is paused".to_owned(),
        But::NotBegun(start) => format!("does not start before {start}"),
        But::Over(end) => format!("was over after {end}"),
        But::OtherMedia => "is on other media alone".to_owned(),
        But::NoPostYet => "is for the next post, which is not published yet".to_owned(),
        But::Reply => "takes none below another comment".to_owned(),
        But::Exception(word) => format!("leaves a {noun} with «{word}» alone"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spillway_core::campaign::Trigger;
    use spillway_core::id::MediaId;
    use spillway_core::time::Timestamp;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn campaigns(of: serde_json::Value) -> Campaigns {
        Campaigns::new(serde_json::from_value::<Vec<Campaign>>(of).unwrap())
    }

    #[test]
    fn who_answers_and_why() {
        let campaigns = campaigns(json!([
            { "id": "any", "except": ["spam"], "messages": ["hi"] },
            { "id": "guide", "keywords": ["guide"], "media": ["1"], "messages": ["hi"] },
        ]));
        let of = |text: &str, media: Option<&MediaId>| {
            let MatchView { campaign, why, nearest, .. } = {
                let media = media.map(|media| [media]);
                let media = media.as_ref().map(|media| &media[..]);
                MatchView::of(&campaigns, &Candidate { media, ..anywhere(text) })
            };
            let name = |id: Option<CampaignId>| id.map(|id| id.to_string()).unwrap_or_default();
            [name(campaign), why, name(nearest)]
        };
        let (one, two) = (MediaId::from("1"), MediaId::from("2"));
        let later = "; any would take it too, but later in order";
        let has = "the comment has the keyword «guide»";
        assert_eq!(of("GUIDE!", Some(&one)), ["guide", &format!("{has}{later}"), ""]);
        let why = format!("{has}, if it is on the campaign's media{later}");
        assert_eq!(of("GUIDE!", None), ["guide", &why, ""]);
        assert_eq!(of("GUIDE!", Some(&two)), ["any", "the campaign takes every comment", ""]);
        let why = "any would take it, but leaves a comment with «spam» alone";
        assert_eq!(of("spam", Some(&two)), ["", why, "any"]);
        let why = "guide would take it, but is on other media alone";
        assert_eq!(of("guide spam", Some(&two)), ["", why, "guide"]);
    }

    fn anywhere(text: &str) -> Candidate<'_> {
        Candidate { trigger: Trigger::Comment, text, media: None, is_reply: false, at: NOW }
    }

    #[test]
    fn why_the_others_do_not_get_it() {
        let campaigns = campaigns(json!([
            { "id": "any", "messages": ["hi"] },
            { "id": "reel", "keywords": ["guide"], "media": ["1"], "messages": ["hi"] },
            { "id": "guide", "keywords": ["guide"], "messages": ["hi"] },
            { "id": "price", "keywords": ["price"], "messages": ["hi"] },
            { "id": "prize", "keywords": ["pricy"], "tolerate": ["typos"], "messages": ["hi"] },
        ]));
        let also = |text: &str| {
            let of = |other: OutrankedView| format!("{}: {}", other.campaign, other.why);
            MatchView::of(&campaigns, &anywhere(text)).also.into_iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(
            also("guide"),
            [
                "guide: reel is for certain media, and goes first",
                "any: reel is for certain media, and goes first",
            ]
        );
        assert_eq!(
            also("price"),
            [
                "prize: the comment has the keyword of price as it is, and this one's almost",
                "any: price has a keyword, and goes first",
            ]
        );
        assert_eq!(also("the price of the pricy"), also("the pricy price"));
        assert_eq!(also("the pricy price")[0], "prize: price is before it in the file");
    }

    #[test]
    fn who_came_nearest() {
        let campaigns = campaigns(json!([
            { "id": "code", "keywords": ["08"], "messages": ["hi"] },
            { "id": "guide", "keywords": ["guide"], "messages": ["hi"] },
        ]));
        let view = MatchView::of(&campaigns, &anywhere("O8"));
        assert_eq!(view.why, "the comment almost has the keyword «08» of code");
        assert_eq!(view.nearest, Some("code".into()));
        let view = MatchView::of(&campaigns, &anywhere("so nice"));
        assert_eq!((view.campaign, view.nearest), (None, None));
        let reply = Candidate { is_reply: true, ..anywhere("guide") };
        let view = MatchView::of(&campaigns, &reply);
        assert_eq!(view.why, "guide would take it, but takes none below another comment");
        let message = Candidate { trigger: Trigger::Message, ..anywhere("guide") };
        let view = MatchView::of(&campaigns, &message);
        assert_eq!(view.why, "guide would take it, but is on comment, live_comment alone");
        assert!(MatchView::of(&Campaigns::default(), &anywhere("x")).why.contains("no campaigns"));
        let (reel, other) = (MediaId::from("1"), MediaId::from("2"));
        let campaigns = Campaigns::new(
            serde_json::from_value::<Vec<Campaign>>(json!([
                { "id": "reel", "keywords": ["recipe"], "media": ["1"], "messages": ["hi"] },
                { "id": "launch", "keywords": ["launch"], "media": "next", "messages": ["hi"] },
                { "id": "inbox", "on": ["message"], "messages": ["hi"] },
            ]))
            .unwrap(),
        );
        for (text, media, why) in [
            (
                "recipee please",
                &other,
                "the comment almost has the keyword «recipe» of reel, which is on other media alone",
            ),
            ("recipy", &reel, "the comment almost has the keyword «recipe» of reel"),
            (
                "launch",
                &reel,
                "launch would take it, but is for the next post, which is not published yet",
            ),
            ("so nice", &reel, "inbox would take it, but is on message alone"),
        ] {
            let view =
                MatchView::of(&campaigns, &Candidate { media: Some(&[media]), ..anywhere(text) });
            assert_eq!(view.why, why);
        }
    }
}
