#include "http/uri.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/strings.h"
#include "http/byte_block.h"

namespace sluice::http {

namespace {

constexpr size_t kMaxHostBytes = 255;  // RFC 1035 §2.3.4

Error bad_target(const char* detail) { return {Reason::bad_target, detail}; }
Error bad_path(const char* detail) { return {Reason::bad_path, detail}; }

// Takes "path[?query]" apart; `text` begins with '/' or '?' or is empty.
Result<void> split_path(std::string_view text, Target& target) {
  size_t at = 0;
  while (at < text.size() && is_byte(text[at], byte_class::kPath)) ++at;
  target.path = text.substr(0, at);
  if (at == text.size()) return {};
  if (text[at] != '?') return bad_target("a byte that no path may hold");
  target.query = text.substr(at + 1);
  target.has_query = true;
  if (!all_bytes(target.query, byte_class::kQuery)) return bad_target("a byte that no query may hold");
  return {};
}

// http://authority[/path][?query], RFC 9112 §3.2.2.
Result<Target> parse_absolute(std::string_view text, Method method) {
  Target target;
  const size_t scheme = text.find("://");
  if (scheme == std::string_view::npos ||
      !(iequals(text.substr(0, scheme), "http") || iequals(text.substr(0, scheme), "https"))) {
    return bad_target("neither a path nor an http URL");
  }
  text.remove_prefix(scheme + 3);
  target.authority = text.substr(0, text.find_first_of("/?"));
  if (!is_valid_authority(target.authority)) return bad_target("the URL's authority is no host[:port]");
  if (const Result<void> split = split_path(text.substr(target.authority.size()), target); !split) return split.error();
  if (target.path.empty()) {
    // RFC 9112 §3.2.4: OPTIONS on a bare authority means the server as a whole.
    target.asterisk = method == Method::OPTIONS && !target.has_query;
    target.path = target.asterisk ? "*" : "/";
  }
  return target;
}

// True if normalising would change nothing and refuse nothing. May say false of a path that is normal all the
// same.
bool is_surely_normal(std::string_view path) {
  const char* const begin = path.data();
  const char* const end = begin + path.size();
  uint32_t slash_before = 0;  // the last byte of the block before was '/'
  const auto suspicious = [&slash_before](const ByteBlock& block) {
    const uint32_t slashes = block.equal('/');
    const uint32_t dots = block.equal('.') & ((slashes << 1) | slash_before);
    slash_before = slashes >> (kBlockBytes - 1);
    return block.equal('%') | block.equal('\\') | block.equal('\0') | dots;
  };
  const char* at = begin;
  for (; end - at >= static_cast<ptrdiff_t>(kBlockBytes); at += kBlockBytes) {
    if (suspicious(ByteBlock::load(at)) != 0) return false;
  }
  const auto left = static_cast<size_t>(end - at);
  return (suspicious(load_few(at, left)) & ((1u << left) - 1)) == 0;
}

// Writes the normal form of one path, segment by segment. The output never overtakes the input.
class PathNormaliser {
 public:
  PathNormaliser(std::string_view path, std::span<char> scratch, bool allow_encoded_slash)
      : path_(path), out_(scratch.data()), allow_encoded_slash_(allow_encoded_slash) {}

  /// Null if all is well, else why the path is refused.
  const char* run() {
    while (at_ < path_.size()) {  // at a '/'
      ++at_;
      out_[size_++] = '/';
      const size_t segment = size_;
      while (at_ < path_.size() && path_[at_] != '/') {
        if (const char* wrong = take_byte(); wrong != nullptr) return wrong;
      }
      if (const char* wrong = end_segment(segment); wrong != nullptr) return wrong;
    }
    return nullptr;
  }
  [[nodiscard]] std::string_view result() const { return {out_, size_}; }

 private:
  const char* take_byte() {
    const char c = path_[at_];
    if (c == '\\' || c == '\0') return "a backslash or NUL";
    if (c == '%') return take_escape();
    out_[size_++] = c;
    ++at_;
    return nullptr;
  }

  const char* take_escape() {
    const int high = at_ + 2 < path_.size() ? hex_value(path_[at_ + 1]) : -1;
    const int low = high >= 0 ? hex_value(path_[at_ + 2]) : -1;
    if (low < 0) return "'%' without two hexadecimal digits";
    const char plain = static_cast<char>(high * 16 + low);
    const bool separator = plain == '/' || plain == '\\';
    if (plain == '\0' || (separator && !allow_encoded_slash_)) return "an encoded slash, backslash or NUL";
    if (is_byte(plain, byte_class::kPlain)) {
      out_[size_++] = plain;
    } else {
      out_[size_++] = '%';
      for (size_t i = 1; i <= 2; ++i) out_[size_++] = separator ? path_[at_ + i] : to_upper(path_[at_ + i]);
    }
    at_ += 3;
    return nullptr;
  }

  // RFC 3986 §5.2.4, but for climbing above the root, which is refused instead of ignored.
  const char* end_segment(size_t segment) {
    const std::string_view text(out_ + segment, size_ - segment);
    const size_t dots = text.starts_with("..") ? 2 : text.starts_with(".") ? 1 : 0;
    if (dots == 0) return nullptr;
    if (dots < text.size()) return text[dots] == ';' ? "a dot segment with parameters" : nullptr;
    size_ = segment;  // "." leaves the slash before it
    if (dots == 2) {
      if (segment == 1) return "a climb above the root";
      size_ = std::string_view(out_, segment - 1).rfind('/') + 1;
    }
    if (at_ < path_.size()) --size_;  // the next segment brings its own slash
    return nullptr;
  }

  static char to_upper(char c) { return c >= 'a' && c <= 'f' ? static_cast<char>(c - 0x20) : c; }

  std::string_view path_;
  char* out_;
  bool allow_encoded_slash_;
  size_t at_ = 0;
  size_t size_ = 0;
};

// Where the port's colon stands, or the end. A name has no colon, and an IPv6 address ends with a bracket.
size_t port_colon(std::string_view authority) {
  const size_t bracket = authority.starts_with('[') ? std::min(authority.find(']'), authority.size()) : 0;
  return find_in_blocks(authority, bracket, [](ByteBlock block) { return block.equal(':'); });
}

// How many bytes at the start are a registered name or an IPv4 address; 0 if they have an empty label, but
// for a final dot.
size_t name_length(std::string_view text) {
  uint32_t dot_before = 1;
  for (size_t at = 0; at < text.size(); at += kBlockBytes) {
    const char* const bytes = text.data() + at;
    const size_t left = text.size() - at;
    const ByteBlock block = left < kBlockBytes ? load_few(bytes, left) : ByteBlock::load(bytes);
    const uint32_t dots = block.equal('.');
    const uint32_t others = block.not_name() & ~dots & ~block.equal('_');
    const int count = std::countr_zero(others | 1u << kBlockBytes);
    if ((dots & (dots << 1 | dot_before) & ((1u << count) - 1)) != 0) return 0;
    if (count < static_cast<int>(kBlockBytes)) return at + static_cast<size_t>(count);
    dot_before = dots >> (kBlockBytes - 1);
  }
  return text.size();
}

bool is_valid_port(std::string_view text) {
  const auto number = parse_u64(text);
  return number && *number <= 65535 && text.size() <= 5;
}

bool is_valid_ipv6(std::string_view host) {  // brackets included
  char text[INET6_ADDRSTRLEN] = {};
  if (host.size() < 4 || host.back() != ']' || host.size() - 2 >= sizeof text) return false;
  std::copy(host.begin() + 1, host.end() - 1, text);
  in6_addr address;
  return std::strlen(text) == host.size() - 2 && inet_pton(AF_INET6, text, &address) == 1;
}

// Reads the percent-encoded text from `at` on as one byte; a bad escape stands for itself.
char next_decoded(std::string_view raw, size_t& at) {
  const char c = raw[at++];
  if (c == '+') return ' ';
  if (c != '%' || at + 2 > raw.size()) return c;
  const int high = hex_value(raw[at]);
  const int low = hex_value(raw[at + 1]);
  if (high < 0 || low < 0) return c;
  at += 2;
  return static_cast<char>(high * 16 + low);
}

}  // namespace

Result<Target> parse_target(std::string_view text, Method method) {
  if (method == Method::CONNECT) return bad_target("CONNECT is not served");
  if (text.starts_with('/')) {
    Target target;
    if (const Result<void> split = split_path(text, target); !split) return split.error();
    return target;
  }
  if (text != "*") return parse_absolute(text, method);
  if (method != Method::OPTIONS) return bad_target("'*' is for OPTIONS only");
  Target target;
  target.path = text;
  target.asterisk = true;
  return target;
}

Result<std::string_view> normalise_path(std::string_view path, std::span<char> scratch, bool allow_encoded_slash) {
  if (path == "*") return path;
  if (!path.starts_with('/')) return bad_path("a path begins with '/'");
  if (is_surely_normal(path)) return path;
  SL_ASSERT(scratch.size() >= path.size());
  PathNormaliser normaliser(path, scratch, allow_encoded_slash);
  if (const char* wrong = normaliser.run(); wrong != nullptr) return bad_path(wrong);
  return normaliser.result() == path ? path : normaliser.result();
}

std::string_view without_prefix(std::string_view path, std::string_view prefix) {
  if (path == prefix) return "/";
  const bool whole = path.starts_with(prefix) && path[prefix.size()] == '/';
  return whole ? path.substr(prefix.size()) : path;
}

bool is_valid_authority(std::string_view authority) {
  size_t host = name_length(authority);
  if (authority.starts_with('[')) {
    host = port_colon(authority);
    if (!is_valid_ipv6(authority.substr(0, host))) return false;
  }
  if (host == 0 || host > kMaxHostBytes) return false;
  return host == authority.size() || (authority[host] == ':' && is_valid_port(authority.substr(host + 1)));
}

std::string_view host_of(std::string_view authority) {
  std::string_view host = authority.substr(0, port_colon(authority));
  if (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

namespace {
// Takes what stands before the next `separator` off `rest`, and the separator; all of it if there is none.
std::string_view cut(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view before = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + 1);
  return before;
}
}  // namespace

bool find_query_parameter(std::string_view query, std::string_view name, std::string_view& value) {
  while (!query.empty()) {
    std::string_view pair = cut(query, '&');
    if (decoded_equals(cut(pair, '='), name)) {
      value = pair;
      return true;
    }
  }
  return false;
}

bool decoded_equals(std::string_view raw, std::string_view plain) {
  size_t at = 0;
  for (const char c : plain) {
    if (at == raw.size() || next_decoded(raw, at) != c) return false;
  }
  return at == raw.size();
}

}  // namespace sluice::http
