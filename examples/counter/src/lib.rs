//! The smallest entity: a number with a name. Whoever counts, and however many do so at the same time, nothing is counted twice or
//! not at all.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// A number.
#[entity]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: i64,
}

#[entity]
impl Counter {
    /// Adds to it, and returns what it is then.
    fn add(&mut self, amount: i64) -> Result<i64> {
        // An operation that fails changes nothing.
        let Some(value) = self.value.checked_add(amount) else { bail!("TooMuch"; "nobody counts so far") };
        self.value = value;
        Ok(value)
    }

    /// What it is.
    fn get(&self) -> Result<i64> {
        Ok(self.value)
    }

    /// Begins anew.
    fn reset(&mut self) -> Result<()> {
        self.value = 0;
        Ok(())
    }
}

/// Counts the letters of some words, each on a counter of its own, and returns how often the most frequent one has come so far.
#[orchestrator]
async fn count_letters(ctx: Context, words: Vec<String>) -> Result<i64> {
    let letters = words.iter().flat_map(|word| word.chars()).filter(|letter| letter.is_alphabetic());
    // All calls begin here, before the first one is waited for.
    let counted = letters.map(|letter| ctx.entity(Counter::id(letter.to_lowercase().to_string())).add(1));
    let counts = try_join_all(counted.collect::<Vec<_>>()).await?;
    ctx.signal(Counter::id("texts")).add(1)?;
    Ok(counts.into_iter().max().unwrap_or(0))
}

durawasm_guest::component!(Counter, count_letters);
