//! A model's tensors laid out for answers.
//!
//! Matrices that read the same input lie in memory as one, so that a token takes fewer products. On the processor a matrix lies by columns:
//! a BLAS packs it anew for every product, which costs more than the product itself where x is one row, and packing from columns is plain
//! copying. mlx-lm's layout takes 1.6 times as long for the products of a token, OpenBLAS 0.3.21 beside it.

use crate::error::Result;
use crate::layer::JOINED;
use crate::model::Model;
use crate::weights::Tensors;
use mlx_rs::ops::concatenate;
use mlx_rs::{Array, Device};

/// Lays the tensors of `model` out, one after the other: at no time is more than one matrix in memory twice.
pub(super) fn lay_out(model: &mut Model) -> Result<()> {
    let by_columns = Device::try_default()? == Device::cpu();
    let (outer, layers) = model.tensors_mut();
    for layer in layers {
        JOINED.iter().try_for_each(|paths| join(layer, paths))?;
        if by_columns {
            turn(layer)?;
        }
    }
    if by_columns { turn(outer) } else { Ok(()) }
}

/// Makes one module of those at `paths`, where the layer has them and they are packed alike.
fn join(layer: &mut Tensors, paths: &[&str]) -> Result<()> {
    let name = |path: &str, suffix: &str| format!("{path}.{suffix}");
    let widths = |suffix: &str| {
        let tensors = paths.iter().map(|path| layer.get(&name(path, suffix)));
        tensors.map(|x| x.map(|x| (x.dim(1), x.dtype()))).collect::<Vec<_>>()
    };
    let alike = |suffix: &str| widths(suffix).windows(2).all(|pair| pair[0] == pair[1]);
    let is_here = layer.contains_key(&name(paths[0], "weight"));
    if !(is_here && alike("weight") && alike("scales") && alike("biases")) {
        return Ok(());
    }
    for suffix in ["weight", "scales", "biases"] {
        let parts: Vec<Array> = paths.iter().filter_map(|path| layer.remove(&name(path, suffix))).collect();
        if !parts.is_empty() {
            let joined = concatenate(&parts, 0)?;
            joined.eval()?;
            layer.insert(name(&paths.join("+"), suffix), joined);
        }
    }
    Ok(())
}

/// Lays matrices that are not packed out by columns. They stay [outputs, inputs] to whoever uses them.
fn turn(tensors: &mut Tensors) -> Result<()> {
    let packed = |name: &str| tensors.contains_key(&name.replace(".weight", ".scales"));
    let is_matrix = |(name, x): &(&String, &Array)| x.ndim() == 2 && name.ends_with(".weight") && !packed(name);
    let names: Vec<String> = tensors.iter().filter(is_matrix).map(|(name, _)| name.clone()).collect();
    for name in names {
        let Some(x) = tensors.remove(&name) else { continue };
        let turned = x.swap_axes(0, 1)?.contiguous()?.swap_axes(0, 1)?;
        turned.eval()?;
        tensors.insert(name, turned);
    }
    Ok(())
}
