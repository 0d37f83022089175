//! HTTP/2 by hand: what no client of ours would send.

/// A frame of HTTP/2.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What a head is, without compression: `:method`, `:scheme`, `:authority`, `:path`, and whether it is gRPC's.
pub(super) fn head(method: &str, path: &str, is_grpc: bool) -> Vec<u8> {
    let literal = |name: &str, value: &str| {
        let mut field = vec![0, name.len() as u8];
        field.extend(name.bytes());
        field.push(value.len() as u8);
        field.extend(value.bytes());
        field
    };
    let mut head = literal(":method", method);
    head.extend(literal(":scheme", "https"));
    head.extend(literal(":authority", "localhost"));
    head.extend(literal(":path", path));
    if is_grpc {
        head.extend(literal("content-type", "application/grpc"));
    }
    head
}

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
