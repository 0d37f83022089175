use super::*;
use mlx_rs::random;
use proptest::prelude::*;

/// A matrix, and inputs that share a few directions.
fn matrix(outputs: i32, inputs: i32, seed: u64) -> (Array, Gram) {
    let key = |n: u64| random::key(seed * 8 + n).unwrap();
    let normal = |size: &[i32], n: u64| random::normal::<f32>(size, None, None, &key(n)).unwrap();
    let x = normal(&[200, 6], 0).matmul(normal(&[6, inputs], 1)).unwrap();
    let x = x.add(normal(&[200, inputs], 2).multiply(Array::from_f32(0.3)).unwrap()).unwrap();
    let gram = Gram::new(&x.swap_axes(0, 1).unwrap().matmul(&x).unwrap()).unwrap();
    (normal(&[outputs, inputs], 3), gram)
}

/// e H eᵀ of each row.
fn of_rows(weight: &Array, packed: &[Array; 3], gram: &Gram, packing: Packing) -> Vec<f32> {
    let f32 = |x: &Array| x.as_dtype(Dtype::Float32).unwrap();
    let (group, bits) = (packing.group_size as i32, packing.bits as i32);
    let values = dequantize(&packed[0], f32(&packed[1]), &f32(&packed[2]), group, bits).unwrap();
    let e = values.subtract(weight).unwrap();
    super::values(&e.matmul(&gram.h).unwrap().multiply(&e).unwrap().sum_axis(1, None).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_row_is_farther_than_the_nearest_packing_and_together_they_are_much_nearer(
        seed in 0u64..1000, bits in 2u64..=6, groups in 1i32..4, change in 0.0f32..0.2, is_packed: bool,
        dtype in prop::sample::select(vec![Dtype::Float32, Dtype::Bfloat16, Dtype::Float16]),
    ) {
        let packing = Packing { group_size: 64, bits };
        let (weight, gram) = matrix(96, 64 * groups, seed);
        // The base's own grid, and a matrix that is not on it any more.
        let (words, scales, biases) = quantize(weight.as_dtype(dtype).unwrap(), 64, bits as i32).unwrap();
        let f32 = |x: &Array| x.as_dtype(Dtype::Float32).unwrap();
        let base = dequantize(&words, f32(&scales), &f32(&biases), 64, bits as i32).unwrap();
        let (delta, _) = matrix(96, 64 * groups, seed + 1);
        let wanted = base.add(delta.multiply(Array::from_f32(change)).unwrap()).unwrap();
        let grid = is_packed.then_some([&scales, &biases]);
        let ours = pack(&wanted, &gram, packing, dtype, grid).unwrap();
        let (words, scales, biases) = quantize(wanted.as_dtype(dtype).unwrap(), 64, bits as i32).unwrap();
        let nearest = [words, scales, biases];
        for (ours, nearest) in ours.iter().zip(&nearest) {
            prop_assert_eq!((ours.shape(), ours.dtype()), (nearest.shape(), nearest.dtype()));
        }
        let [ours, nearest] = [&ours, &nearest].map(|packed| of_rows(&wanted, packed, &gram, packing));
        for (ours, nearest) in ours.iter().zip(&nearest) {
            prop_assert!(*ours <= nearest * 1.0001 + 1e-6, "{} after {}", ours, nearest);
        }
        let [all, before] = [ours, nearest].map(|rows| rows.iter().sum::<f32>());
        // A change far below the grid's steps leaves little to gain: what is left then is the rounding of scales.
        let most = if change > 0.05 { 0.7 } else { 1.0 };
        prop_assert!(all <= most * before + 1e-6, "{} of {}", all, before);
    }
}

#[test]
fn a_matrix_that_is_on_the_bases_grid_stays_what_it_is() {
    let (weight, gram) = matrix(80, 128, 5);
    let packing = Packing { group_size: 64, bits: 4 };
    let (words, scales, biases) = quantize(&weight, 64, 4).unwrap();
    let base = dequantize(&words, &scales, &biases, 64, 4).unwrap();
    let packed = pack(&base, &gram, packing, Dtype::Float32, Some([&scales, &biases])).unwrap();
    let error: f32 = of_rows(&base, &packed, &gram, packing).iter().sum();
    assert!(error < 1e-6, "{error}");
}

#[test]
fn the_same_matrix_is_packed_into_the_same_bits() {
    let (weight, gram) = matrix(300, 192, 7);
    let pack = || pack(&weight, &gram, Packing { group_size: 64, bits: 4 }, Dtype::Bfloat16, None).unwrap();
    let (one, other) = (pack(), pack());
    for (one, other) in one.iter().zip(&other) {
        assert!(one.eq_values(other).unwrap());
    }
}
