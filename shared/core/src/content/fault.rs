//! What is wrong with a part of a campaign, and the way to it: a reader of files turns the way into a
//! line.

use std::fmt;

/// A step on the way to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A field of a table.
    Field(&'static str),
    /// An item of a list, counted from 0.
    Item(usize),
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Item(at) => write!(f, "[{at}]"),
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault<E> {
    /// The way to the faulty value, from the outside to the inside.
    pub path: Vec<Segment>,
    /// What is wrong with it.
    pub error: E,
}

/// Collects all faults of a value and of what is in it.
#[derive(Debug)]
pub struct Faults<E> {
    path: Vec<Segment>,
    found: Vec<Fault<E>>,
}

impl<E> Default for Faults<E> {
    fn default() -> Self {
        Self { path: Vec::new(), found: Vec::new() }
    }
}

impl<E> Faults<E> {
    /// Adds a fault of the value that is looked at.
    pub fn add(&mut self, error: impl Into<E>) {
        self.found.push(Fault { path: self.path.clone(), error: error.into() });
    }

    /// Adds what a check of the value has found.
    pub fn add_from(&mut self, checked: Result<(), impl Into<E>>) {
        if let Err(error) = checked {
            self.add(error);
        }
    }

    /// Looks at a field of the value.
    pub fn field(&mut self, name: &'static str, look: impl FnOnce(&mut Self)) {
        self.path.push(Segment::Field(name));
        look(self);
        self.path.pop();
    }

    /// Looks at each item of the list that a field of the value holds.
    pub fn items<'i, T>(
        &mut self,
        name: &'static str,
        items: &'i [T],
        mut look: impl FnMut(&mut Self, &'i T),
    ) {
        self.path.push(Segment::Field(name));
        for (at, item) in items.iter().enumerate() {
            self.path.push(Segment::Item(at));
            look(self, item);
            self.path.pop();
        }
        self.path.pop();
    }

    /// Returns the faults in the order in which they were found.
    pub fn found(self) -> Vec<Fault<E>> {
        self.found
    }
}
