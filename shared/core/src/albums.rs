//! Albums: media of an account that are pictures of another one.
//!
//! A comment under a picture of an album carries the picture's id, and not the album's (Meta's
//! documentation of webhooks, under "Limitations").

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::MediaId;

/// The pictures of an account's albums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Albums(BTreeMap<MediaId, MediaId>);

impl Albums {
    /// Returns the album that a media is a picture of, if that is known.
    pub fn album_of(&self, picture: &MediaId) -> Option<&MediaId> {
        self.0.get(picture)
    }

    /// Whether pictures of this album are known.
    pub fn knows(&self, album: &MediaId) -> bool {
        self.0.values().any(|known| known == album)
    }

    /// Replaces what is known of an album.
    pub fn put(&mut self, album: &MediaId, pictures: impl IntoIterator<Item = MediaId>) {
        self.0.retain(|_, known| known != album);
        self.0.extend(pictures.into_iter().map(|picture| (picture, album.clone())));
    }

    /// Forgets albums other than these.
    pub fn keep_only(&mut self, albums: &BTreeSet<&MediaId>) {
        self.0.retain(|_, album| albums.contains(album));
    }

    /// The bytes of the ids that it holds.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(picture, album)| picture.as_str().len() + album.as_str().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_of_the_album_that_was_read_last() {
        let mut albums = Albums::default();
        let [one, two]: [MediaId; 2] = ["1".into(), "2".into()];
        albums.put(&one, ["11".into(), "12".into()]);
        albums.put(&two, ["21".into()]);
        albums.put(&one, ["12".into(), "13".into()]);
        assert_eq!(albums.album_of(&"11".into()), None, "it was taken out");
        assert_eq!(albums.album_of(&"13".into()), Some(&one));
        let json = serde_json::to_string(&albums).unwrap();
        assert_eq!(json, r#"{"12":"1","13":"1","21":"2"}"#);
        assert_eq!(serde_json::from_str::<Albums>(&json).unwrap(), albums);
        albums.keep_only(&[&two].into());
        assert!(albums.knows(&two) && !albums.knows(&one));
    }
}
