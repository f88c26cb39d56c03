#include "tls/websocket_accept.h"

#include <catch2/catch.hpp>

TEST_CASE("the answer to a key of WebSocket is that of RFC 6455") {
  CHECK(sluice::tls::websocket_accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK(sluice::tls::websocket_accept("") == "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=");
}
