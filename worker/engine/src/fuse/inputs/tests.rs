use super::*;

fn values(x: &Array) -> Vec<f32> {
    x.contiguous().unwrap().as_slice::<f32>().to_vec()
}

#[test]
fn a_gram_matrix_is_its_two_triangles() {
    let x = mlx_rs::random::normal::<f32>(&[40, 24], None, Some(3.0), &mlx_rs::random::key(3).unwrap()).unwrap();
    let products = x.swap_axes(0, 1).unwrap().matmul(&x).unwrap();
    let Gram { h, u } = Gram::new(&products).unwrap();
    let diagonal: f32 = values(&h.diag(None).unwrap()).iter().sum::<f32>() / 24.0;
    assert!((diagonal - 1.0 - DAMPING).abs() < 1e-5, "{diagonal}");
    let (h, u) = (values(&h), values(&u));
    let at = |x: &[f32], i: usize, j: usize| f64::from(x[i * 24 + j]);
    // D follows from the last column on: H_kk = D_k + Σ_{j>k} U_kj² D_j.
    let mut d = [0.0; 24];
    for k in (0..24).rev() {
        d[k] = at(&h, k, k) - (k + 1..24).map(|j| at(&u, k, j).powi(2) * d[j]).sum::<f64>();
        assert!(d[k] > 0.0 && (at(&u, k, k) - 1.0).abs() < 1e-6);
        for i in 0..24 {
            let product: f64 = (0..24).map(|j| at(&u, i, j) * d[j] * at(&u, k, j)).sum();
            assert!(i <= k || at(&u, i, k) == 0.0);
            assert!(i > k || (product - at(&h, i, k)).abs() < 1e-4, "{product} is not {}", at(&h, i, k));
        }
    }
}

#[test]
fn inputs_that_are_always_zero_leave_rounding_to_the_nearest() {
    let Gram { h, u } = Gram::new(&Array::zeros::<f32>(&[5, 5]).unwrap()).unwrap();
    let unit = Array::eye::<f32>(5, None, None).unwrap();
    assert!(h.eq_values(&unit).unwrap() && u.eq_values(&unit).unwrap());
}

#[test]
fn every_matrix_of_a_layer_has_a_first_reader_of_its_inputs() {
    let shape = Shape::named("qwen3.5-4b").unwrap().shape;
    for mixer in [vertigo_model::shape::Mixer::Full, vertigo_model::shape::Mixer::Linear] {
        let linears = shape.linears(mixer);
        for linear in &linears {
            let reader = linears.iter().find(|other| other.path == first_reader(linear.path)).unwrap();
            assert_eq!(reader.inputs, linear.inputs, "{}", linear.path);
        }
    }
}
