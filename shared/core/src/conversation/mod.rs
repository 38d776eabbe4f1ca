//! What a conversation with one person needs beside its messages: payloads of buttons, the words that
//! end everything, and the e-mail address in an answer.

mod email;
mod payload;
mod stop_words;

pub use self::email::Email;
pub use self::payload::{CAMPAIGN_BYTES_MAX, Origin, Payload, PayloadError, Step, StepKey};
pub use self::stop_words::{Command, StopWords};
