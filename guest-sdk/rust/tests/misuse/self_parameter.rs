use durawasm_guest::prelude::*;

struct Greeter;

impl Greeter {
    #[activity]
    fn greet(&self, name: String) -> Result<String> {
        Ok(name)
    }
}

fn main() {}
