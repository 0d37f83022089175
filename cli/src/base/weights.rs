//! A smoke base's weights: random, in the spread that training expects of fresh ones.
//!
//! Promise: the same shape and seed give the same bytes.

use half::{bf16, f16};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype as Stored, TensorView, serialize};
use std::fs;
use std::path::Path;
use vertigo_model::shape::{Dtype, Packing, Shape};
use vertigo_model::tensors::{Matrix, matrices, vectors};

/// Time constants of a fresh gated delta layer: softplus(dt_bias) is drawn from here, evenly in its logarithm, and the decay of a
/// step is exp(−A·softplus(…)) with A from [`DECAY`]. Mamba-2's, whose gates these are.
const TIME_STEP: (f32, f32) = (1e-3, 1e-1);

/// A = exp(A_log) is drawn from here.
const DECAY: (f32, f32) = (1.0, 16.0);

/// A tensor's bytes.
struct Blob {
    name: String,
    dtype: Stored,
    size: Vec<usize>,
    data: Vec<u8>,
}

impl Blob {
    fn view(&self) -> Result<TensorView<'_>, SafeTensorError> {
        TensorView::new(self.dtype, self.size.clone(), &self.data)
    }
}

/// Writes the weights of `shape` to `path` as MLX lays them out.
pub(crate) fn write(path: &Path, shape: &Shape, seed: u64) -> Result<(), SafeTensorError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut blobs = Vec::new();
    for matrix in matrices(shape) {
        let std = spread(&matrix, shape);
        match &shape.quantization {
            Some(quantization) => blobs.extend(packed(&matrix, quantization.default, std, shape.dtype, &mut rng)),
            None => {
                let values = uniform((matrix.outputs * matrix.inputs) as usize, std, &mut rng);
                let name = format!("{}.weight", matrix.module);
                blobs.push(floats(name, &[matrix.outputs, matrix.inputs], &values, shape.dtype));
            }
        }
    }
    blobs.extend(vectors(shape).into_iter().map(|(name, size)| vector(name, &size, shape.dtype, &mut rng)));
    let views: Result<Vec<_>, SafeTensorError> =
        blobs.iter().map(|blob| Ok((blob.name.as_str(), blob.view()?))).collect();
    // mlx-lm looks for this mark of MLX's own layout.
    let mark = [("format".to_owned(), "mlx".to_owned())].into();
    let bytes = serialize(views?, Some(mark))?;
    Ok(fs::write(path, bytes)?)
}

/// The standard deviation of a matrix's values: 1/√inputs, so that what goes in with variance 1 comes out with variance 1. What is
/// added to the residual stream is smaller by √(2·layers), so that the sum over all layers is of one size with each, as in GPT-2. A
/// row of the embedding has length 1.
fn spread(matrix: &Matrix, shape: &Shape) -> f64 {
    let into_residual = ["self_attn.o_proj", "linear_attn.out_proj", "mlp.down_proj"];
    let std = (matrix.inputs as f64).powf(-0.5);
    if into_residual.iter().any(|path| matrix.module.ends_with(path)) {
        std / (2.0 * shape.layers as f64).sqrt()
    } else {
        std
    }
}

/// Values from the uniform distribution of mean 0 and standard deviation `std`: ±√3·std.
fn uniform(count: usize, std: f64, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let bound = (3f64.sqrt() * std) as f32;
    (0..count).map(|_| rng.random_range(-bound..bound)).collect()
}

/// Random codes are random words. Codes c of 0 … 2ᵇ−1 mean s·c + z; evenly drawn they have variance s²·(4ᵇ−1)/12, which gives s,
/// and z = −s·(2ᵇ−1)/2 makes their mean 0.
fn packed(matrix: &Matrix, packing: Packing, std: f64, dtype: Dtype, rng: &mut ChaCha8Rng) -> [Blob; 3] {
    let levels = f64::from(1u32 << packing.bits);
    let scale = std * (12.0 / (levels * levels - 1.0)).sqrt();
    let bias = -scale * (levels - 1.0) / 2.0;
    let [(weight, words), (scales, groups), (biases, _)] = matrix.packed(packing);
    let count = |size: &[u64]| size.iter().product::<u64>() as usize;
    let mut data = vec![0; 4 * count(&words)];
    rng.fill(data.as_mut_slice());
    let constant = |name, value: f64| floats(name, &groups, &vec![value as f32; count(&groups)], dtype);
    let weight = Blob { name: weight, dtype: Stored::U32, size: words.iter().map(|&n| n as usize).collect(), data };
    [weight, constant(scales, scale), constant(biases, bias)]
}

fn vector(name: String, size: &[u64], dtype: Dtype, rng: &mut ChaCha8Rng) -> Blob {
    let count = size.iter().product::<u64>() as usize;
    if name.ends_with(".conv1d.weight") {
        // 1/√taps, as for a linear of as many inputs.
        let values = uniform(count, (size[1] as f64).powf(-0.5), rng);
        return floats(name, size, &values, dtype);
    }
    if name.ends_with(".A_log") {
        // f32 whatever the rest is, as in the real ones.
        let values: Vec<f32> = (0..count).map(|_| rng.random_range(DECAY.0..DECAY.1).ln()).collect();
        return floats(name, size, &values, Dtype::F32);
    }
    if name.ends_with(".dt_bias") {
        let step = |rng: &mut ChaCha8Rng| rng.random_range(TIME_STEP.0.ln()..TIME_STEP.1.ln()).exp();
        // The inverse of softplus.
        let values: Vec<f32> = (0..count).map(|_| step(rng).exp_m1().ln()).collect();
        return floats(name, size, &values, dtype);
    }
    floats(name, size, &vec![1.0; count], dtype)
}

fn floats(name: String, size: &[u64], values: &[f32], dtype: Dtype) -> Blob {
    let (stored, data) = match dtype {
        Dtype::F32 => (Stored::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Dtype::Bf16 => (Stored::BF16, values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect()),
        Dtype::F16 => (Stored::F16, values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect()),
    };
    Blob { name, dtype: stored, size: size.iter().map(|&n| n as usize).collect(), data }
}
