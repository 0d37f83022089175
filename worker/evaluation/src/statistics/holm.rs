//! Several questions at once.

/// Holm's step-down adjustment (Holm 1979), in the order of what was given: the chance of one false alarm or more among all
/// questions is at most the level that the adjusted figures are compared with, however the questions depend on one another.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let (mut adjusted, mut highest) = (vec![0.0; p.len()], 0.0_f64);
    for (rank, &at) in order.iter().enumerate() {
        highest = highest.max((p.len() - rank) as f64 * p[at]).min(1.0);
        adjusted[at] = highest;
    }
    adjusted
}
