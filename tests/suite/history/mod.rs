//! What shows over time: scripted months on the pure fold, and the model of caches against a population of senders.

mod months;
mod population;
mod reports;
