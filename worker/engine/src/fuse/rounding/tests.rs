use super::*;
use mlx_rs::Array;
use mlx_rs::ops::dequantize;
use proptest::prelude::*;

/// Columns of a group in these tests.
const N: usize = 8;

/// H = Xᵀ X + damping of inputs that go mostly one way, which is what makes rounding to the nearest a bad choice.
fn products(inputs: &[f32]) -> Vec<f32> {
    let mut h = vec![0.0; N * N];
    for x in inputs.chunks(N) {
        let common: f32 = x.iter().sum();
        let x: Vec<f32> = x.iter().map(|x| x + common).collect();
        for i in 0..N {
            for j in 0..N {
                h[i * N + j] += x[i] * x[j];
            }
        }
    }
    (0..N).for_each(|i| h[i * N + i] += 0.05);
    h
}

/// e H eᵀ in f64.
fn error(values: &[f32], wanted: &[f32], h: &[f32]) -> f64 {
    let e: Vec<f64> = values.iter().zip(wanted).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
    (0..N).flat_map(|i| (0..N).map(move |j| (i, j))).map(|(i, j)| e[i] * f64::from(h[i * N + j]) * e[j]).sum()
}

fn values(grid: Grid, codes: &[u8]) -> Vec<f32> {
    codes.iter().map(|code| grid.value(*code)).collect()
}

fn group(coupling: &[f32]) -> Group<'_> {
    Group { columns: N, code_max: 15, coupling, stored: |x| x }
}

prop_compose! {
    fn row()(
        wanted in prop::collection::vec(-1.0f32..1.0, N), codes in prop::collection::vec(0u8..16, N),
        scale in 0.01f32..0.3, is_negative: bool, bias in -1.0f32..0.5,
    ) -> (Vec<f32>, Vec<u8>, Grid) {
        (wanted, codes, Grid { scale: if is_negative { -scale } else { scale }, bias })
    }
}

proptest! {
    #[test]
    fn descending_never_makes_a_rows_error_larger_and_tells_how_far_it_moved(
        rows in prop::collection::vec(row(), 1..4), inputs in prop::collection::vec(-1.0f32..1.0, 6 * N),
    ) {
        let h = products(&inputs);
        let mut grids: Vec<Grid> = rows.iter().map(|(_, _, grid)| *grid).collect();
        let mut codes: Vec<u8> = rows.iter().flat_map(|(_, codes, _)| codes.clone()).collect();
        let mut slope = Vec::new();
        for (wanted, codes, grid) in &rows {
            let now = values(*grid, codes);
            slope.extend((0..N).map(|j| (0..N).map(|i| (now[i] - wanted[i]) * h[i * N + j]).sum::<f32>()));
        }
        descend(&group(&h), Rows { grids: &mut grids, codes: &mut codes }, &mut slope);
        for (n, (wanted, before, grid)) in rows.iter().enumerate() {
            let after = values(grids[n], &codes[n * N..(n + 1) * N]);
            let (was, is) = (error(&values(*grid, before), wanted, &h), error(&after, wanted, &h));
            prop_assert!(is <= was * (1.0 + 1e-4) + 1e-5, "{} became {}", was, is);
            for (j, before) in values(*grid, before).iter().enumerate() {
                let moved = slope[n * N + j];
                prop_assert!((before + moved - after[j]).abs() < 1e-4, "{} + {} is {}", before, moved, after[j]);
            }
        }
    }

    #[test]
    fn where_inputs_are_not_correlated_every_value_is_rounded_to_the_nearest((wanted, _, grid) in row()) {
        let mut unit = vec![0.0; N * N];
        (0..N).for_each(|i| unit[i * N + i] = 1.0);
        let (mut codes, mut aim) = (vec![0; N], wanted.clone());
        feed_back(&group(&unit), Rows { grids: &mut [grid], codes: &mut codes }, &wanted, &mut aim);
        let off = |code: u8, wanted: f32| (grid.value(code) - wanted).abs();
        for (j, code) in codes.iter().enumerate() {
            let nearest = (0..16).map(|code| off(code, wanted[j])).fold(f32::INFINITY, f32::min);
            prop_assert!(off(*code, wanted[j]) <= nearest + 1e-5);
        }
        // Nor does a single code's move make that better.
        let mut slope: Vec<f32> = codes.iter().zip(&wanted).map(|(code, wanted)| grid.value(*code) - wanted).collect();
        let (before, mut moved) = (codes.clone(), vec![0.0; N]);
        move_codes(&group(&unit), grid, &mut codes, &mut slope, &mut moved);
        let same = |(a, b): (&u8, &u8)| a == b || (off(*a, 0.0) - off(*b, 0.0)).abs() < grid.scale.abs() * 1.01;
        prop_assert!(codes.iter().zip(&before).all(same));
    }

    /// MLX reads the stream of bits as it was written, whatever the width.
    #[test]
    fn packed_codes_are_what_mlx_unpacks(bits in prop::sample::select(vec![2usize, 3, 4, 5, 6, 8]), seed in any::<u64>()) {
        let (rows, columns) = (3, 64);
        let code = |n: u64| ((seed ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8 & ((1u16 << bits) - 1) as u8;
        let codes: Vec<u8> = (0..rows * columns as u64).map(code).collect();
        let words = packed(&codes, columns, bits);
        let words = Array::from_slice(&words, &[rows as i32, (columns * bits / 32) as i32]);
        let ones = Array::ones::<f32>(&[rows as i32, 1]).unwrap();
        let zeros = Array::zeros::<f32>(&[rows as i32, 1]).unwrap();
        let read = dequantize(&words, &ones, &zeros, columns as i32, bits as i32).unwrap();
        let read: Vec<u8> = read.contiguous().unwrap().as_slice::<f32>().iter().map(|x| *x as u8).collect();
        prop_assert_eq!(read, codes);
    }
}

#[test]
fn columns_make_up_for_those_before_them() {
    // Two inputs that are always alike: half a step too much in one is half a step too little in the other.
    let mut u = vec![0.0; N * N];
    (0..N).for_each(|i| u[i * N + i] = 1.0);
    u[1] = 1.0;
    let grid = Grid { scale: 1.0, bias: 0.0 };
    let mut wanted = vec![0.0; N];
    wanted[..2].copy_from_slice(&[0.4, 0.4]);
    let (mut codes, mut aim) = (vec![0; N], wanted.clone());
    feed_back(&group(&u), Rows { grids: &mut [grid], codes: &mut codes }, &wanted, &mut aim);
    assert_eq!(codes[..2], [0, 1], "alone each is nearest to 0, and together they are nearly 1");
    assert!((aim[0] + 0.4).abs() < 1e-6 && (aim[1] - 0.6).abs() < 1e-6, "{aim:?}");
}

#[test]
fn the_same_bits_come_of_any_number_of_rows_at_once() {
    let rows = 3 * ROWS_OF_THREAD_MIN + 1;
    let value = |n: usize| ((n * 37 + 11) % 101) as f32 / 50.0 - 1.0;
    let h = products(&(0..6 * N).map(value).collect::<Vec<_>>());
    let wanted: Vec<f32> = (0..rows * N).map(|n| value(3 * n)).collect();
    let work = |range: std::ops::Range<usize>| {
        let mut grids = vec![Grid { scale: 0.13, bias: -1.0 }; range.len()];
        let mut codes = vec![0; range.len() * N];
        let of_rows = &wanted[range.start * N..range.end * N];
        let mut aim = of_rows.to_vec();
        feed_back(&group(&h), Rows { grids: &mut grids, codes: &mut codes }, of_rows, &mut aim);
        descend(&group(&h), Rows { grids: &mut grids, codes: &mut codes }, &mut aim);
        (codes, aim)
    };
    let (codes, moved) = work(0..rows);
    for row in 0..rows {
        let (alone, by) = work(row..row + 1);
        assert_eq!((&codes[row * N..(row + 1) * N], &moved[row * N..(row + 1) * N]), (&alone[..], &by[..]));
    }
}
