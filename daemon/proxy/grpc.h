// What the gateway knows of gRPC over HTTP/2: a client of it reads the outcome of a call from grpc-status, not from the HTTP status,
// and says itself how long it waits. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"
#include "http/message.h"
#include "http/serializer.h"
#include "proxy/problem.h"

namespace sluice::proxy {

/// Its content type is application/grpc, with or without what follows "+" or ";".
[[nodiscard]] bool is_grpc(const http::HeaderMap& fields);

/// grpc-timeout: up to eight digits and a unit, H M S m u n; nothing if there is none or it is malformed. At least 1 ms, at most a day.
[[nodiscard]] std::optional<Millis> grpc_timeout(const http::HeaderMap& request);

/// grpc-status, where it is a number from 0 to 16.
[[nodiscard]] std::optional<unsigned> grpc_status(const http::HeaderMap& fields);

/// The status of a call (grpc/statuscodes.md) that ends with this problem: what happened where the reason is ours and known, else what
/// gRPC makes of the HTTP status.
[[nodiscard]] unsigned grpc_status(const Problem& problem);

/// How a call ended: grpc-status and grpc-message. Writes kMaxProblemBytes at most, as does the next one.
void write_grpc_status(http::HeadWriter& out, const Problem& problem);

/// The fields of an answer that has no body and tells of `problem`: Content-Type, and those of write_grpc_status().
void write_grpc_problem(http::HeadWriter& out, const Problem& problem);

}  // namespace sluice::proxy
