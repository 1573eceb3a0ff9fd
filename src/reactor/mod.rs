//! Pillar one: sockets, slots and bytes. It knows no protocol.
