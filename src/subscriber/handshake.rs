//! The WebSocket handshake, strict RFC 6455: what fastwebsockets' `upgrade` does not look at is checked here.
//! SKELETON.
