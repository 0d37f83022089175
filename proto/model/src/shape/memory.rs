//! The memory of a base's weights, for any number of layers in the same time.
//!
//! Layers come in two kinds, so the sums go by kind. Only a quantisation that packs a module of one layer otherwise is looked at by
//! itself. All sums saturate.

use super::{LAYERS, LinearLayer, Mixer, Packing, Shape, product};
use vertigo::bytes::Bytes;

/// Bytes of the f32 that the states of gated delta attention are.
const STATE_VALUE_BYTES: u64 = 4;

/// A layer's experts, as a quantisation names them.
const EXPERTS: &str = "mlp.switch_mlp";

impl Shape {
    /// Memory of the weights as they are stored: each matrix packed as the quantisation says, all else in the model's dtype.
    pub fn weight_bytes(&self) -> Bytes {
        self.bytes_packed(&|from, _, _| from)
    }

    /// The same, with each matrix packed otherwise: `to` gets how it is packed, whether it is a layer's, and its columns.
    pub(crate) fn bytes_packed(&self, to: &dyn Fn(Option<Packing>, bool, u64) -> Option<Packing>) -> Bytes {
        let embeddings = ["language_model.model.embed_tokens", "language_model.lm_head"];
        let embedding = product(&[self.vocab, self.hidden]);
        let packing = |path: &str| to(self.quantization.as_ref().and_then(|q| q.of(path)), false, self.hidden);
        let embeddings = embeddings.iter().take(if self.tied { 1 } else { 2 });
        let embeddings = embeddings.map(|path| self.packed_bytes(packing(path), embedding)).sum::<Bytes>();
        let norm = Bytes(self.hidden) * self.dtype.size();
        let of_layers = |from, inputs| to(from, true, inputs);
        embeddings + norm + self.layers_bytes(Mixer::Full, &of_layers) + self.layers_bytes(Mixer::Linear, &of_layers)
    }

    /// Memory of a context of so many tokens: keys and values of each, and the state and the convolution's tail of every layer of gated
    /// delta attention, which are as large for one token as for many.
    pub fn context_bytes(&self, tokens: u64) -> Bytes {
        let (a, l) = (&self.attention, &self.linear);
        let keys = Bytes(product(&[2, a.kv_heads, a.head_dim, tokens])) * self.dtype.size();
        let state = Bytes(product(&[l.value_heads, l.key_dim, l.value_dim])) * STATE_VALUE_BYTES;
        let tail = Bytes(product(&[l.conv_kernel.saturating_sub(1), l.conv_channels()])) * self.dtype.size();
        let layers = |mixer| self.layers_with(mixer, 0..self.layers);
        keys * layers(Mixer::Full) + (state + tail) * layers(Mixer::Linear)
    }

    /// Memory of all layers with `mixer`.
    fn layers_bytes(&self, mixer: Mixer, to: &dyn Fn(Option<Packing>, u64) -> Option<Packing>) -> Bytes {
        let count = self.layers_with(mixer, 0..self.layers);
        let other = Bytes(self.layer_values(mixer).other) * self.dtype.size();
        let experts = LinearLayer { path: EXPERTS, inputs: self.expert_values(), outputs: 1 };
        let matrices = self.linears(mixer).into_iter().chain([experts]);
        other * count + matrices.map(|matrix| self.matrix_bytes(mixer, count, &matrix, to)).sum::<Bytes>()
    }

    /// Memory of one matrix of each of the `count` layers with `mixer`.
    fn matrix_bytes(
        &self,
        mixer: Mixer,
        count: u64,
        matrix: &LinearLayer,
        to: &dyn Fn(Option<Packing>, u64) -> Option<Packing>,
    ) -> Bytes {
        let bytes = |from| self.packed_bytes(to(from, matrix.inputs), matrix.values());
        let Some(quantization) = &self.quantization else { return bytes(None) * count };
        let overrides = quantization.overrides.iter();
        let (mut otherwise, mut sum) = (0, Bytes::ZERO);
        for (_, packing) in overrides.filter(|(path, _)| self.names(path, mixer, matrix)) {
            otherwise += 1;
            sum += bytes(*packing);
        }
        sum + bytes(Some(quantization.default)) * count.saturating_sub(otherwise)
    }

    /// Whether `path` is that of `matrix` in a layer that there is and that has `mixer`.
    fn names(&self, path: &str, mixer: Mixer, matrix: &LinearLayer) -> bool {
        let place = path.strip_prefix(LAYERS).and_then(|rest| rest.split_once('.'));
        place.is_some_and(|(number, module)| {
            // No other spelling of the number than the one that modules have: no sign, no zeros before it.
            let index = number.parse::<u64>().ok().filter(|index| index.to_string() == number);
            module == matrix.path && index.is_some_and(|index| index < self.layers && self.mixer(index) == mixer)
        })
    }

    /// Memory of a matrix of `values`: packed, with a scale and a bias a group, where it is quantised.
    fn packed_bytes(&self, packing: Option<Packing>, values: u64) -> Bytes {
        let Some(Packing { group_size, bits }) = packing else { return Bytes(values) * self.dtype.size() };
        // In 128 bits, where no product of two sizes is too large.
        let packed = u128::from(values) * u128::from(bits) / 8;
        let packed = Bytes(u64::try_from(packed).unwrap_or(u64::MAX));
        packed + Bytes(values.div_ceil(group_size.max(1))) * 2 * self.dtype.size()
    }
}

#[cfg(test)]
mod tests;
