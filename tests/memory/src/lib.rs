//! The tables in memory, and the ports over them.
//!
//! [`tables`] holds what DynamoDB would hold, with the conditions of each write. [`Ports`] makes a
//! port's requests to it. Everything else is the user's: a [`Requests`] decides what happens before
//! and after a request (other processes go first, the caller dies, the answer is lost), and a
//! [`World`] keeps the tables beside whatever it has else, and looks at what was done.

mod past;
mod ports;
mod sealer;
pub mod tables;

pub use self::past::Past;
pub use self::ports::{Did, Ports, Requests, World};
pub use self::sealer::Sealer;
