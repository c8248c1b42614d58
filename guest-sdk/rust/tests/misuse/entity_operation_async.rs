use durawasm_guest::prelude::*;

#[entity]
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Counter(i64);

#[entity]
impl Counter {
    async fn add(&mut self, amount: i64) -> Result<i64> {
        self.0 += amount;
        Ok(self.0)
    }
}

fn main() {}
