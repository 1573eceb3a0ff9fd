//! Pillar three: messages and channels. It knows no transport.
