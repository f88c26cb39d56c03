#include "http/message.h"

#include <algorithm>

#include "base/arena.h"
#include "http/header_names.h"

namespace sluice::http {

Method method_from(std::string_view text) {
#define SL_ROW(name) \
  if (text == #name) return Method::name;
  SL_METHODS(SL_ROW)
#undef SL_ROW
  return Method::unknown;
}

std::string_view name(Method method) {
  switch (method) {
#define SL_ROW(name) \
  case Method::name: return #name;
    SL_METHODS(SL_ROW)
#undef SL_ROW
    case Method::unknown: break;
  }
  return "unknown";
}

namespace {
constexpr MethodSet kSafe = method_bit(Method::GET) | method_bit(Method::HEAD) | method_bit(Method::OPTIONS) |
                            method_bit(Method::TRACE) | method_bit(Method::PROPFIND) | method_bit(Method::REPORT) |
                            method_bit(Method::SEARCH) | method_bit(Method::QUERY);
// WebDAV's writing methods as the IANA method registry has them; LOCK and PATCH are not idempotent, nor is
// PURGE registered.
constexpr MethodSet kIdempotent = kSafe | method_bit(Method::PUT) | method_bit(Method::DELETE) |
                                  method_bit(Method::PROPPATCH) | method_bit(Method::MKCOL) | method_bit(Method::COPY) |
                                  method_bit(Method::MOVE) | method_bit(Method::UNLOCK);
}  // namespace

std::string_view name(Version version) {
  constexpr std::string_view kNames[] = {"HTTP/1.0", "HTTP/1.1", "HTTP/2"};
  return kNames[static_cast<size_t>(version)];
}

bool is_safe(Method method) { return (kSafe & method_bit(method)) != 0; }
bool is_idempotent(Method method) { return (kIdempotent & method_bit(method)) != 0; }

HeaderId header_id(std::string_view name) {
  if (name.empty() || name.size() >= header_names::kLongest) return HeaderId::other;
  if (name.size() >= kBlockBytes) return header_names::find(name.data(), name.size(), ByteBlock::load(name.data()));
  char padded[kBlockBytes] = {};
  *std::copy(name.begin(), name.end(), padded) = ':';
  return header_names::find(padded, name.size(), ByteBlock::load(padded));
}

HeaderMap::HeaderMap(std::span<HeaderField> fields) : fields_(fields) {
  for (const HeaderField& field : fields) {
    const uint64_t bit = bit_of(field.id);
    repeated_ |= present_ & bit;
    present_ |= bit;
  }
}

const HeaderField* HeaderMap::find(HeaderId id) const {
  if (!has(id)) return nullptr;
  return &*std::find_if(fields_.begin(), fields_.end(), [id](const HeaderField& field) { return field.id == id; });
}

const HeaderField* HeaderMap::find(std::string_view name, HeaderId id) const {
  if (!has(id)) return nullptr;
  const auto found = std::find_if(fields_.begin(), fields_.end(), [=](const HeaderField& f) { return f.is(name, id); });
  return found == fields_.end() ? nullptr : &*found;
}

void HeaderMap::remove(std::string_view name, HeaderId id) {
  if (find(name, id) == nullptr) return;
  const auto end =
      std::remove_if(fields_.begin(), fields_.end(), [=](const HeaderField& field) { return field.is(name, id); });
  const auto gone = static_cast<size_t>(fields_.end() - end);
  const size_t room = room_ + gone;
  *this = HeaderMap(fields_.first(fields_.size() - gone));
  room_ = room;
}

void HeaderMap::append(const HeaderField& field, Arena& arena) {
  const size_t size = fields_.size();
  if (room_ == 0) {
    room_ = 8;
    const auto larger = arena.allocate_array<HeaderField>(size + room_);
    std::copy(fields_.begin(), fields_.end(), larger.begin());
    fields_ = larger.first(size);
  }
  fields_.data()[size] = field;
  fields_ = {fields_.data(), size + 1};
  --room_;
  repeated_ |= present_ & bit_of(field.id);
  present_ |= bit_of(field.id);
}

std::string_view HeaderMap::value(HeaderId id) const {
  const HeaderField* field = find(id);
  return field != nullptr ? field->value : std::string_view();
}

size_t HeaderMap::count(HeaderId id) const {
  if (!repeated(id)) return has(id) ? 1 : 0;
  return static_cast<size_t>(
      std::count_if(fields_.begin(), fields_.end(), [id](const HeaderField& field) { return field.id == id; }));
}

namespace {
struct Phrase {
  uint16_t status;
  std::string_view text;
};
// RFC 9110 §15 and the IANA registry; 499 is what nginx calls a client that went away.
constexpr Phrase kPhrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};
}  // namespace

std::string_view phrase_of(uint16_t status) {
  const auto* at = std::lower_bound(std::begin(kPhrases), std::end(kPhrases), status,
                                    [](const Phrase& phrase, uint16_t wanted) { return phrase.status < wanted; });
  return at != std::end(kPhrases) && at->status == status ? at->text : std::string_view("Unknown");
}

}  // namespace sluice::http
