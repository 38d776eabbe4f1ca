use spillway_simulation::{Sabotage, seeds};
fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    if args.len() == 1 {
        let run = seeds::play(args[0], Sabotage::None, Some(Box::new(|l| println!("{l}"))));
        println!("{run:#?}");
        return;
    }
    let t = std::time::Instant::now();
    let mut n = 0;
    let mut bad = 0;
    seeds::play_all(args[0]..args[1], Sabotage::None, |run| {
        n += 1;
        if let Some(f) = run.failure {
            bad += 1;
            println!("{} {} {}", run.seed, f.at_ms, f.what);
        }
    });
    println!("{n} seeds {bad} bad {:?}", t.elapsed());
}
