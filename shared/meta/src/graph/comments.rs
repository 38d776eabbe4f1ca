//! Reading what was commented: an account's media, and the comments of each, page by page.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;
use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::time::Timestamp;

use super::answer::{Answered, Sent, Success};
use super::request::PublicReply;
use super::{CallError, GraphClient};
use crate::json::Object;
use crate::time;
use crate::webhook::Commenter;

/// Items asked for at a time. Meta gives fewer where it likes.
const PAGE: &str = "50";

/// The longest cursor that is taken for one, in bytes. Meta's have a few hundred.
const CURSOR_BYTES_MAX: usize = 1024;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it. An item without an id is left out.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<String>,
}

/// A post or Reel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaItem {
    /// Its id.
    pub id: MediaId,
    /// The instant when it was published.
    pub created_at: Option<Timestamp>,
    /// How many comments it has, replies included.
    pub comments: Option<u64>,
}

/// A comment, as a read tells it. Its `Debug` shows neither text nor name.
#[derive(Clone, PartialEq, Eq)]
pub struct CommentItem {
    /// Its id, the same as in its webhook.
    pub id: CommentId,
    /// The instant when it was made.
    pub created_at: Option<Timestamp>,
    /// Its text.
    pub text: Option<String>,
    /// Who said it. Meta leaves it away for some people.
    pub from: Option<Commenter>,
    /// The person's name, which is there also where `from` is not.
    pub username: Option<String>,
}

impl fmt::Debug for CommentItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommentItem")
            .field("id", &self.id)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

/// A comment that was read by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommentRead {
    /// The comment.
    pub item: CommentItem,
    /// What it is on.
    pub media: Option<MediaId>,
    /// The comment that it is below, if it is below one.
    pub parent: Option<CommentId>,
}

impl GraphClient {
    /// The account's media, newest first: `GET /{account}/media`. `after` is where the page before
    /// ended. `timeout` as for [`private_reply`](Self::private_reply).
    ///
    /// # Errors
    ///
    /// See [`CallError`]. It is a read: after [`CallError::Unknown`] it can be repeated.
    pub async fn media(
        &self,
        account: &AccountId,
        token: &SecretString,
        after: Option<&str>,
        timeout: Duration,
    ) -> Result<Answered<Page<MediaItem>>, CallError> {
        let mut url = self.url(account.as_str(), Some("media"))?;
        ask(&mut url, "id,timestamp,comments_count", after);
        let answer = self.call(self.http.get(url), token, timeout).await?;
        answer.into_answered(|answer| {
            page(answer, |media| {
                Some(MediaItem {
                    id: MediaId::new(media.id("id")?),
                    created_at: media.text("timestamp").as_deref().and_then(time::parse),
                    comments: media.number("comments_count"),
                })
            })
        })
    }

    /// The media that a media consists of: `GET /{media}?fields=media_type,children{id}`. Only an
    /// album has some.
    ///
    /// # Errors
    ///
    /// As for [`media`](Self::media).
    pub async fn pictures(
        &self,
        media: &MediaId,
        token: &SecretString,
        timeout: Duration,
    ) -> Result<Answered<Vec<MediaId>>, CallError> {
        let mut url = self.url(media.as_str(), None)?;
        url.query_pairs_mut().append_pair("fields", "media_type,children{id}");
        let answer = self.call(self.http.get(url), token, timeout).await?;
        answer.into_answered(pictures)
    }

    /// The comments of a media: `GET /{media}/comments`. Meta does not promise an order.
    ///
    /// # Errors
    ///
    /// As for [`media`](Self::media).
    pub async fn comments(
        &self,
        media: &MediaId,
        token: &SecretString,
        after: Option<&str>,
        timeout: Duration,
    ) -> Result<Answered<Page<CommentItem>>, CallError> {
        let mut url = self.url(media.as_str(), Some("comments"))?;
        ask(&mut url, "id,text,timestamp,from,username", after);
        let answer = self.call(self.http.get(url), token, timeout).await?;
        answer.into_answered(|answer| page(answer, comment))
    }

    /// A comment on the media of the token's account: `GET /{comment}` (Meta, IG Comment, 2026).
    ///
    /// # Errors
    ///
    /// As for [`media`](Self::media).
    pub async fn comment(
        &self,
        token: &SecretString,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<CommentRead>, CallError> {
        let mut url = self.url(comment.as_str(), None)?;
        let fields = "id,text,timestamp,from,media,parent_id";
        url.query_pairs_mut().append_pair("fields", fields);
        let answer = self.call(self.http.get(url), token, timeout).await?;
        answer.into_answered(|answer| {
            Some(CommentRead {
                item: self::comment(answer)?,
                media: answer.object("media").and_then(|media| media.id("id")).map(MediaId::new),
                parent: answer.id("parent_id").map(CommentId::new),
            })
        })
    }

    /// Answers a comment in public: `POST /{comment}/replies` (Meta, IG Comment Replies, 2026), with
    /// the token of the account whose media it is on.
    ///
    /// Meta takes none to a hidden comment and none on live video, and puts a reply to a reply
    /// below the top comment. It asks for nothing but the id: a call that named fields was seen to
    /// make the reply and to be refused (20/1772107). `timeout` as for
    /// [`private_reply`](Self::private_reply). A repeat after [`CallError::Unknown`] makes a second
    /// reply.
    ///
    /// # Errors
    ///
    /// See [`CallError`], and [`CallError::verdict`] for what to do about it.
    pub async fn public_reply(
        &self,
        token: &SecretString,
        comment: &CommentId,
        text: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        let url = self.url(comment.as_str(), Some("replies"))?;
        let request = self.http.post(url).json(&PublicReply { message: text });
        self.call(request, token, timeout).await.map(Success::into_replied)
    }

    /// The first page of the replies to a comment: `GET /{comment}/replies`.
    ///
    /// # Errors
    ///
    /// As for [`media`](Self::media).
    pub async fn replies(
        &self,
        token: &SecretString,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Page<CommentItem>>, CallError> {
        let mut url = self.url(comment.as_str(), Some("replies"))?;
        ask(&mut url, "id,text,timestamp,from,username", None);
        let answer = self.call(self.http.get(url), token, timeout).await?;
        answer.into_answered(|answer| page(answer, self::comment))
    }
}

fn ask(url: &mut Url, fields: &str, after: Option<&str>) {
    let mut query = url.query_pairs_mut();
    query.append_pair("fields", fields).append_pair("limit", PAGE);
    if let Some(after) = after {
        query.append_pair("after", after);
    }
}

fn comment(comment: &Object<'_>) -> Option<CommentItem> {
    let username = comment.text("username");
    let from = comment.object("from").and_then(|from| {
        let id = from.id("id").map(RecipientId::new);
        Commenter::named(id, from.text("username").or_else(|| username.clone()))
    });
    Some(CommentItem {
        id: CommentId::new(comment.id("id")?),
        created_at: comment.text("timestamp").as_deref().and_then(time::parse),
        text: comment.text("text"),
        from,
        username,
    })
}

fn pictures(media: &Object<'_>) -> Option<Vec<MediaId>> {
    media.id("id")?;
    let Some(children) = media.object("children") else { return Some(Vec::new()) };
    let ids = children.array("data")?;
    let id = |raw: &&str| Object::parse(raw).and_then(|child| child.id("id"));
    Some(ids.iter().filter_map(id).map(MediaId::new).collect())
}

fn page<T>(answer: &Object<'_>, item: impl Fn(&Object<'_>) -> Option<T>) -> Option<Page<T>> {
    let data = answer.array("data")?;
    let items = data.iter().filter_map(|raw| Object::parse(raw).and_then(|raw| item(&raw)));
    Some(Page { items: items.collect(), next: next(answer) })
}

/// Where the next page begins, if there is one. Its URL is not used: it holds the token.
fn next(answer: &Object<'_>) -> Option<String> {
    let paging = answer.object("paging")?;
    let url = paging.text("next")?;
    let told = paging.object("cursors").and_then(|cursors| cursors.text("after"));
    let in_url = || {
        let url = Url::parse(&url).ok()?;
        url.query_pairs().find(|(key, _)| key == "after").map(|(_, after)| after.into_owned())
    };
    told.or_else(in_url).filter(|cursor| cursor.len() <= CURSOR_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<Page<CommentItem>> {
        page(&Object::parse(body)?, comment)
    }

    #[test]
    fn a_comment_is_read_also_without_its_author() {
        let page = read(
            r#"{"data":[
              {"id":"17","text":"guide","timestamp":"2026-11-24T12:00:00+0000","username":"ann",
               "from":{"id":"52"}},
              {"id":"18","username":"bob"},
              {"text":"no id"}
            ]}"#,
        )
        .unwrap();
        let [first, second] = &page.items[..] else { panic!("{page:?}") };
        let from = first.from.as_ref().unwrap();
        assert_eq!(
            (from.id.as_ref().unwrap().as_str(), from.username.as_deref()),
            ("52", Some("ann"))
        );
        assert_eq!(first.created_at, Some(Timestamp::from_secs(1_795_521_600)));
        assert_eq!((&second.from, second.username.as_deref()), (&None, Some("bob")));
        assert_eq!(page.next, None);
        assert!(!format!("{page:?}").contains("guide") && !format!("{page:?}").contains("ann"));
    }

    #[test]
    fn an_album_tells_its_pictures() {
        let read = |body: &str| pictures(&Object::parse(body)?);
        let album = r#"{"id":"30","media_type":"CAROUSEL_ALBUM",
            "children":{"data":[{"id":"31"},{"id":"32"}]}}"#;
        assert_eq!(read(album).unwrap(), ["31".into(), "32".into()]);
        assert_eq!(read(r#"{"id":"30","media_type":"VIDEO"}"#).unwrap(), []);
        assert_eq!(read(r#"{"data":[]}"#), None);
    }

    #[test]
    fn the_next_page_is_named_by_its_cursor_alone() {
        let next =
            |paging: &str| read(&format!(r#"{{"data":[],"paging":{paging}}}"#)).unwrap().next;
        let url = "https://graph.instagram.com/v26.0/17/comments?access_token=IGA&after=QVF%3D";
        assert_eq!(next(&format!(r#"{{"cursors":{{"after":"A"}},"next":"{url}"}}"#)).unwrap(), "A");
        assert_eq!(next(&format!(r#"{{"next":"{url}"}}"#)).unwrap(), "QVF=");
        assert_eq!(next(r#"{"cursors":{"after":"A"}}"#), None, "it was the last one");
        assert!(read(r#"{"data":{}}"#).is_none());
    }
}
