//! A VXLAN header put before a frame, and taken off again.

use packet::{
    Checksum, Frame, Offload,
    checksum::{ChecksumError, complete_partial},
    frame::MIN_FRAME,
};

use crate::{
    drop_reason::DropReason,
    header::{HEADER_LEN, Vni},
};

/// Why a frame could not be encapsulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncapError {
    /// Fewer bytes than an Ethernet header: no frame.
    #[error("{0} bytes are too few for an Ethernet frame")]
    Truncated(usize),
    /// A super-frame is to be cut first (`packet::segment`): each segment is a datagram.
    #[error("super-frame is to be cut into segments before it is encapsulated")]
    SuperFrame,
    /// The inner checksum is to be completed and cannot be.
    #[error(transparent)]
    Checksum(#[from] ChecksumError),
    /// Something else has taken the headroom.
    #[error("{0} bytes of headroom are too few for a VXLAN header")]
    NoHeadroom(usize),
}

/// Makes `frame` the payload of a VXLAN datagram: the header of `vni` goes into its headroom. A
/// partial checksum is completed first, since nobody behind a tunnel would; the offload metadata
/// then says nothing any more. What is in `frame` afterwards is no Ethernet frame.
///
/// # Errors
/// [`EncapError`]; the frame is unchanged then.
#[inline]
pub fn encap(frame: &mut Frame, vni: Vni) -> Result<(), EncapError> {
    if frame.len() < MIN_FRAME {
        return Err(EncapError::Truncated(frame.len()));
    }
    let offload = frame.offload();
    if offload.gso.is_some() {
        return Err(EncapError::SuperFrame);
    }
    if frame.headroom() < HEADER_LEN {
        return Err(EncapError::NoHeadroom(frame.headroom()));
    }
    if matches!(offload.checksum, Checksum::Partial { .. }) {
        complete_partial(frame)?;
    }
    if let Some(header) = frame.prepend(HEADER_LEN).and_then(|b| b.first_chunk_mut()) {
        *header = vni.to_header();
    }
    frame.set_offload(Offload::NONE);
    Ok(())
}

/// The network and the inner frame of `datagram`, one received UDP payload. Where the socket
/// coalesces datagrams, split them first.
///
/// # Errors
/// [`DropReason::Truncated`], [`DropReason::NoVni`] or [`DropReason::InnerTruncated`].
#[inline]
pub fn decap(datagram: &[u8]) -> Result<(Vni, &[u8]), DropReason> {
    let vni = Vni::from_header(datagram)?;
    let inner = datagram.get(HEADER_LEN..).unwrap_or(&[]);
    if inner.len() < MIN_FRAME { Err(DropReason::InnerTruncated) } else { Ok((vni, inner)) }
}

/// [`decap`] for a payload that was received into `frame`, which holds the inner frame afterwards,
/// its checksum [`Checksum::Unverified`].
///
/// # Errors
/// As [`decap`]; `frame` is unchanged then.
#[inline]
pub fn decap_in_place(frame: &mut Frame) -> Result<Vni, DropReason> {
    let (vni, _) = decap(frame.bytes())?;
    frame.trim_front(HEADER_LEN);
    frame.set_offload(Offload::NONE);
    Ok(vni)
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
    use packet::{Gso, GsoKind, checksum::Sum};
    use proptest::prelude::*;

    use super::*;

    fn vni(value: u32) -> Vni {
        Vni::new(value).unwrap()
    }

    fn frame_of(bytes: &[u8], offload: Offload) -> Frame {
        let mut frame = Frame::with_capacity(2000);
        frame.copy_from(bytes, offload).unwrap();
        frame
    }

    fn datagram() -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder =
            PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(7, 53);
        builder.write(&mut bytes, b"question").unwrap();
        bytes
    }

    #[test]
    fn a_partial_checksum_is_completed_on_the_way_in() {
        let whole = datagram();
        let mut bytes = whole.clone();
        let pseudo = Sum::pseudo_ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17, 16).fold();
        bytes[40..42].copy_from_slice(&pseudo.to_be_bytes());
        let offload = Offload { checksum: Checksum::Partial { start: 34, offset: 6 }, gso: None };
        let mut frame = frame_of(&bytes, offload);
        encap(&mut frame, vni(42)).unwrap();
        assert_eq!(frame.offload(), Offload::NONE);
        let (of, inner) = decap(frame.bytes()).unwrap();
        assert_eq!((of, inner), (vni(42), whole.as_slice()));
        let sliced = SlicedPacket::from_ethernet(inner).unwrap();
        let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP") };
        let sum = udp.to_header().calc_checksum_ipv4_raw([10, 0, 0, 1], [10, 0, 0, 2], udp.payload());
        assert_eq!(sum.unwrap(), udp.checksum());
    }

    #[test]
    fn what_cannot_be_sent_stays_as_it_is() {
        let partial = Checksum::Partial { start: 34, offset: 6 };
        let gso = Some(Gso { kind: GsoKind::UdpL4, ecn: false, size: 4, hdr_len: 42 });
        let mut frame = frame_of(&datagram(), Offload { checksum: partial, gso });
        assert_eq!(encap(&mut frame, vni(1)), Err(EncapError::SuperFrame));
        let outside = Checksum::Partial { start: 60, offset: 6 };
        frame.set_offload(Offload { checksum: outside, gso: None });
        assert!(matches!(encap(&mut frame, vni(1)), Err(EncapError::Checksum(_))));
        assert_eq!(frame.bytes(), datagram());
        assert_eq!(frame.offload().checksum, outside);
        assert_eq!(encap(&mut frame_of(&[0; 13], Offload::NONE), vni(1)), Err(EncapError::Truncated(13)));

        let mut frame = frame_of(&datagram(), Offload::NONE);
        frame.prepend(frame.headroom() - 7).unwrap();
        assert_eq!(encap(&mut frame, vni(1)), Err(EncapError::NoHeadroom(7)));
    }

    #[test]
    fn short_datagrams_are_refused() {
        let mut bytes = vni(5).to_header().to_vec();
        bytes.extend([0; 13]);
        assert_eq!(decap(&bytes), Err(DropReason::InnerTruncated));
        bytes.push(0);
        assert_eq!(decap(&bytes), Ok((vni(5), [0u8; 14].as_slice())));
        assert_eq!(decap(&bytes[..7]), Err(DropReason::Truncated));
        bytes[0] = 0;
        assert_eq!(decap(&bytes), Err(DropReason::NoVni));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(bytes in prop::collection::vec(any::<u8>(), 14..200), id in 0..1u32 << 24) {
            let mut frame = frame_of(&bytes, Offload::NONE);
            encap(&mut frame, vni(id)).unwrap();
            prop_assert_eq!(frame.len(), bytes.len() + HEADER_LEN);
            prop_assert_eq!(decap_in_place(&mut frame), Ok(vni(id)));
            prop_assert_eq!(frame.bytes(), bytes);
        }

        #[test]
        fn both_ways_of_taking_off_agree_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut frame = frame_of(&bytes, Offload::NONE);
            let in_place = decap_in_place(&mut frame);
            match decap(&bytes) {
                Ok((vni, inner)) => {
                    prop_assert_eq!(in_place, Ok(vni));
                    prop_assert_eq!(frame.bytes(), inner);
                }
                Err(reason) => {
                    prop_assert_eq!(in_place, Err(reason));
                    prop_assert_eq!(frame.bytes(), bytes);
                }
            }
        }
    }
}
