//! The models of others, and the program that compares them.

mod cli;
mod models;
