use durawasm_guest::prelude::*;

#[entity]
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Counter(i64);

#[entity]
impl Counter {
    fn add(&mut self, amount: i64, times: i64) -> Result<i64> {
        self.0 += amount * times;
        Ok(self.0)
    }
}

fn main() {}
