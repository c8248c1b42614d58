struct Greeter;

durawasm_guest::component!(Greeter);

fn main() {}
