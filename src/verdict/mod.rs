//! The judgement: facts, history and expectation in, findings and delivery out. No I/O, no clock.
