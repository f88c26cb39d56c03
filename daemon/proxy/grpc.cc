#include "proxy/grpc.h"

#include <algorithm>

#include "base/strings.h"

namespace sluice::proxy {

namespace {

constexpr std::string_view kContentType = "application/grpc";
constexpr size_t kMaxDigits = 8;
constexpr size_t kMaxMessage = 512;
constexpr Millis kLongest = std::chrono::hours(24);

std::optional<std::chrono::nanoseconds> unit_of(char letter) {
  switch (letter) {
    case 'H': return std::chrono::hours(1);
    case 'M': return std::chrono::minutes(1);
    case 'S': return std::chrono::seconds(1);
    case 'm': return std::chrono::milliseconds(1);
    case 'u': return std::chrono::microseconds(1);
    case 'n': return std::chrono::nanoseconds(1);
    default: return std::nullopt;
  }
}

// Percent-Encode of the protocol: what is not printable ASCII, and the percent sign.
void write_message(http::HeadWriter& out, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  out.text("grpc-message: ");
  for (const char c : text.substr(0, kMaxMessage)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && byte != '%') {
      out.text({&c, 1});
    } else {
      const char escaped[] = {'%', kDigits[byte >> 4], kDigits[byte & 15]};
      out.text({escaped, sizeof(escaped)});
    }
  }
  out.text("\r\n");
}

}  // namespace

bool is_grpc(const http::HeaderMap& fields) {
  const std::string_view type = fields.value(http::HeaderId::content_type);
  if (!iequals(type.substr(0, kContentType.size()), kContentType)) return false;
  const std::string_view rest = type.substr(kContentType.size());
  return rest.empty() || rest.front() == '+' || rest.front() == ';';
}

std::optional<Millis> grpc_timeout(const http::HeaderMap& request) {
  const http::HeaderField* field = request.find("grpc-timeout");
  if (field == nullptr || field->value.size() < 2 || field->value.size() > kMaxDigits + 1) return std::nullopt;
  const auto count = parse_u64(field->value.substr(0, field->value.size() - 1));
  const auto unit = unit_of(field->value.back());
  if (!count || !unit) return std::nullopt;
  // Eight digits of hours are more than 64 bits of nanoseconds hold.
  if (*count > static_cast<uint64_t>(kLongest / *unit)) return kLongest;
  return std::clamp(std::chrono::ceil<Millis>(static_cast<int64_t>(*count) * *unit), Millis(1), kLongest);
}

std::optional<unsigned> grpc_status(const http::HeaderMap& fields) {
  const http::HeaderField* field = fields.find("grpc-status");
  const auto status = field == nullptr ? std::nullopt : parse_u64(field->value);
  if (!status || *status > 16) return std::nullopt;
  return static_cast<unsigned>(*status);
}

unsigned grpc_status(const Problem& problem) {
  switch (problem.status) {
    case 400: return 13;  // INTERNAL
    case 401: return 16;  // UNAUTHENTICATED
    case 403: return 7;   // PERMISSION_DENIED
    case 404:
    case 405:
    case 501: return 12;  // UNIMPLEMENTED
    case 408:
    case 504: return 4;  // DEADLINE_EXCEEDED
    case 413:
    case 429:
    case 431: return 8;  // RESOURCE_EXHAUSTED
    case 499: return 1;  // CANCELLED
    case 425:
    case 502:
    case 503: return 14;  // UNAVAILABLE
    default: return 2;    // UNKNOWN
  }
}

void write_grpc_status(http::HeadWriter& out, const Problem& problem) {
  out.field("grpc-status", grpc_status(problem));
  write_message(out, problem.detail.empty() ? problem.reason : problem.detail);
}

void write_grpc_problem(http::HeadWriter& out, const Problem& problem) {
  out.field("Content-Type", kContentType);
  write_grpc_status(out, problem);
}

}  // namespace sluice::proxy
