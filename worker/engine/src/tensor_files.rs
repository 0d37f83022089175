//! Safetensors on disk: where each tensor of a base lies, and a file that is written tensor by tensor.
//!
//! Promise: no more of a file than its header and one tensor is in memory.

use crate::error::{EngineError, Result};
use crate::weights;
use mlx_rs::{Array, Dtype};
use safetensors::tensor::{Metadata, TensorInfo};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vertigo::files::AtPath;
use vertigo_model::tensors::canonical_name;

/// Bytes of a header at the most: the format's own bound.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// A tensor that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: safetensors::Dtype,
    pub(crate) shape: Vec<usize>,
}

impl Tensor {
    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        (self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8) as u64
    }
}

/// A tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) dtype: safetensors::Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) file: Arc<Path>,
    /// Its bytes in the file.
    pub(crate) range: Range<u64>,
}

/// Every tensor of the text model in `folder`, by MLX's names.
pub(crate) fn read_headers(folder: &Path, tied: bool) -> Result<BTreeMap<String, Stored>> {
    let mut all = BTreeMap::new();
    for path in weights::shards(folder)? {
        let (start, metadata) = read_header(&path)?;
        let file: Arc<Path> = path.into();
        for (name, info) in metadata.tensors() {
            let Some(name) = canonical_name(&name, tied) else { continue };
            let range = start + info.data_offsets.0 as u64..start + info.data_offsets.1 as u64;
            all.insert(name, Stored { dtype: info.dtype, shape: info.shape.clone(), file: file.clone(), range });
        }
    }
    Ok(all)
}

/// A file's header, and where its tensors' bytes begin.
fn read_header(path: &Path) -> Result<(u64, Metadata)> {
    let invalid = |problem: String| EngineError::input(format!("{} is not safetensors: {problem}", path.display()));
    let mut file = File::open(path).at(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|e| invalid(e.to_string()))?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX {
        return Err(invalid(format!("its header says that it has {length} bytes; {HEADER_BYTES_MAX} are allowed")));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(|e| invalid(e.to_string()))?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| invalid(e.to_string()))?;
    let start = 8 + length;
    let (expected, found) = (start + metadata.data_len() as u64, file.metadata().at(path)?.len());
    if expected != found {
        return Err(invalid(format!("it has {found} bytes, and its header describes {expected}")));
    }
    Ok((start, metadata))
}

/// A file in the making. Its tensors come in the order of its header.
pub(crate) struct TensorWriter {
    path: PathBuf,
    file: BufWriter<File>,
    /// Bytes that each tensor still to come has, the last first.
    due: Vec<u64>,
}

impl TensorWriter {
    /// Begins a file of these tensors.
    pub(crate) fn create<'a>(path: &Path, tensors: impl Iterator<Item = &'a Tensor>) -> Result<TensorWriter> {
        let (mut end, mut infos, mut due) = (0, Vec::new(), Vec::new());
        for tensor in tensors {
            let start = end;
            end += tensor.bytes() as usize;
            due.push(tensor.bytes());
            let info = TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets: (start, end) };
            infos.push((tensor.name.clone(), info));
        }
        due.reverse();
        // mlx-lm looks for this mark of MLX's own layout.
        let mark = [("format".to_owned(), "mlx".to_owned())].into();
        let invalid = |e: String| EngineError::input(format!("{}: {e}", path.display()));
        let metadata = Metadata::new(Some(mark), infos).map_err(|e| invalid(e.to_string()))?;
        let mut header = serde_json::to_vec(&metadata).map_err(|e| invalid(e.to_string()))?;
        // The tensors' bytes begin at a multiple of 8.
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut file = BufWriter::new(File::create(path).at(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes()).and_then(|()| file.write_all(&header)).at(path)?;
        Ok(TensorWriter { path: path.to_owned(), file, due })
    }

    /// The next tensor, as it lies in another file.
    pub(crate) fn copy(&mut self, stored: &Stored) -> Result<()> {
        let length = stored.range.end - stored.range.start;
        self.expect(length)?;
        let mut source = File::open(&stored.file).at(&*stored.file)?;
        source.seek(SeekFrom::Start(stored.range.start)).at(&*stored.file)?;
        let copied = io::copy(&mut source.take(length), &mut self.file).at(&self.path)?;
        if copied != length {
            return Err(EngineError::input(format!("{} was cut short while it was read", stored.file.display())));
        }
        Ok(())
    }

    /// The next tensor.
    pub(crate) fn write(&mut self, tensor: &Array) -> Result<()> {
        self.expect(tensor.nbytes() as u64)?;
        let bytes = tensor.contiguous()?.view_dtype(Dtype::Uint8)?;
        let bytes = bytes.try_as_slice::<u8>().map_err(|e| EngineError::input(format!("MLX: {e}")))?;
        Ok(self.file.write_all(bytes).at(&self.path)?)
    }

    /// That the next tensor is as long as the header says.
    fn expect(&mut self, length: u64) -> Result<()> {
        match self.due.pop() {
            Some(due) if due == length => Ok(()),
            due => Err(EngineError::input(format!(
                "{}: a tensor of {length} bytes came where the header has {due:?}",
                self.path.display()
            ))),
        }
    }

    /// Ends the file.
    pub(crate) fn finish(mut self) -> Result<()> {
        if !self.due.is_empty() {
            return Err(EngineError::input(format!("{} lacks {} tensors", self.path.display(), self.due.len())));
        }
        Ok(self.file.flush().at(&self.path)?)
    }
}
