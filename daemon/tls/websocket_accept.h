// What a server of WebSocket answers to a client's key, to show that it understood (RFC 6455 §4.2.2). It stands here because libcrypto has
// its SHA-1; no secret hangs on it.
#pragma once

#include <string>
#include <string_view>

namespace sluice::tls {

/// The value of Sec-WebSocket-Accept to `key`, that of Sec-WebSocket-Key.
[[nodiscard]] std::string websocket_accept(std::string_view key);

}  // namespace sluice::tls
