//! The simulation from seeds, the bill, and the load on each key.

mod bill;
mod conformance;
mod optimum;
mod scale;
mod seeds;
