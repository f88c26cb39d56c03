// The header of the PROXY protocol: each piece of it says "more" and takes nothing that stands behind it, and what is read can be
// written and read again.
#include <string>

#include "check.h"
#include "http/parser.h"
#include "http/proxy_protocol.h"

using namespace sluice;

namespace {

void check_same(const http::ProxyHeader& a, const http::ProxyHeader& b) {
  FUZZ_CHECK(a.has_addresses == b.has_addresses && a.source == b.source && a.destination == b.destination);
}

void check_written(const http::ProxyHeader& header, http::ProxyVersion version) {
  const std::string written = http::write_proxy_header(version, header);
  FUZZ_CHECK(written.size() <= http::kMaxProxyHeaderBytes);
  http::ProxyHeader back;
  const Result<size_t> length = http::read_proxy_header(written, back);
  FUZZ_CHECK(length && *length == written.size());
  if (back.has_addresses) check_same(back, header);
  if (version == http::ProxyVersion::v1) return;
  FUZZ_CHECK(back.over_tls == header.over_tls);
  FUZZ_CHECK(back.server_name == header.server_name || header.server_name.size() > 255);
  FUZZ_CHECK(back.tls_client_name == header.tls_client_name || header.tls_client_name.size() > 255);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);  // memory of its own: a byte too many is noticed
  http::ProxyHeader header;
  const Result<size_t> length = http::read_proxy_header(bytes, header);
  const size_t end = !length ? 0 : *length == 0 ? bytes.size() : *length;
  FUZZ_CHECK(end <= bytes.size() && end <= http::kMaxProxyHeaderBytes);
  for (size_t cut = 0; cut < end; ++cut) {
    const std::string piece = bytes.substr(0, cut);
    http::ProxyHeader part;
    const Result<size_t> more = http::read_proxy_header(piece, part);
    FUZZ_CHECK(more && *more == 0);
  }
  if (!length || *length == 0) return 0;
  for (const std::string_view text :
       {header.tls_version, header.tls_cipher, header.tls_client_name, header.server_name}) {
    FUZZ_CHECK(http::is_field_value(text));
  }
  const std::string exact = bytes.substr(0, end);
  http::ProxyHeader again;
  const Result<size_t> same = http::read_proxy_header(exact, again);
  FUZZ_CHECK(same && *same == end);
  check_same(again, header);
  check_written(header, http::ProxyVersion::v1);
  check_written(header, http::ProxyVersion::v2);
  return 0;
}
