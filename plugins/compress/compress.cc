// compress: encodes the bodies of responses for clients that accept it. on_response decides, and says so in the head; then each
// piece of the body goes through an encoder of the worker's pool.
#include <array>

#include "common/header_syntax.h"
#include "compress/compress_config.h"

namespace sluice::compress {

namespace {

// An encoder gives up what it gathered after so much of a body, and what it writes for one piece stays in proportion to the
// piece: it must fit into what is held for a client that is slow.
constexpr size_t kMaxGathered = 32 * 1024;

// Fields whose values tell of the bytes as they were.
constexpr std::string_view kFixed[] = {"Content-Encoding", "Content-Range", "Content-Digest",
                                       "Repr-Digest",      "Digest",        "Content-MD5"};

}  // namespace

struct Worker {
  explicit Worker(WorkerHandle handle) : encoders(config(handle).levels, config(handle).max_streams) {}
  static const Config& config(WorkerHandle handle) { return *static_cast<const Config*>(handle.raw()->config); }

  EncoderPool encoders;
  std::array<char, size_t{16} * 1024> out;
};

class Filter {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange) {}
  ~Filter() { release(); }

  Verdict on_response() {
    if (!is_compressible()) return leave();
    vary();
    const auto coding = wanted();
    if (!coding) return leave();
    encoder_ = worker().encoders.take(*coding);
    if (encoder_ == nullptr) {
      exchange_.worker().count(config().refused);
      return leave();
    }
    coding_ = *coding;
    flushes_ = matches_any(config().flush_types, type());
    exchange_.set_header(Side::response, "Content-Encoding", name(coding_));
    exchange_.remove_header(Side::response, "Accept-Ranges");
    weaken_etag();
    exchange_.replace_body();
    return Verdict::go_on;
  }

  Verdict on_response_body(std::string_view data, bool last) {
    if (encoder_ == nullptr) return Verdict::go_on;
    gathered_ += data.size();
    bytes_in_ += data.size();
    const bool flush = flushes_ || gathered_ >= kMaxGathered;
    const Encoder::Step step = last ? Encoder::Step::finish : flush ? Encoder::Step::flush : Encoder::Step::go_on;
    if (flush) gathered_ = 0;
    if (data.empty() && !last) return Verdict::go_on;
    auto& out = worker().out;
    for (bool more = true; more;) {
      const Encoder::Result result = encoder_->run(data, step, out);
      if (!result.ok) {
        exchange_.worker().log(SLUICE_ERROR, "the encoder failed");
        return Verdict::respond;  // too late for an answer: the exchange is aborted
      }
      exchange_.write_body({out.data(), result.written});
      bytes_out_ += result.written;
      more = result.more;
    }
    if (last) release();
    return Verdict::go_on;
  }

 private:
  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }
  [[nodiscard]] Worker& worker() const { return exchange_.worker_state<Worker>(); }
  [[nodiscard]] std::string_view type() const {
    return media_type(exchange_.header(Side::response, "Content-Type").value_or(std::string_view()));
  }

  Verdict leave() {
    exchange_.skip_body();
    return Verdict::go_on;
  }

  // For some client, at least.
  [[nodiscard]] bool is_compressible() const {
    const sluice_progress progress = exchange_.progress();
    if (progress.status < 200 || progress.status == 204 || progress.status == 205 || progress.status == 206 ||
        progress.status == 304)
      return false;
    const bool is_short =
        progress.response_body_bytes >= 0 && static_cast<uint64_t>(progress.response_body_bytes) < config().min_length;
    if (is_short && exchange_.fact(SLUICE_METHOD) != "HEAD") return false;
    for (const std::string_view field : kFixed) {
      if (exchange_.header(Side::response, field)) return false;
    }
    return !has(Side::response, "Cache-Control", "no-transform") && matches_any(config().types, type());
  }

  [[nodiscard]] std::optional<Coding> wanted() const {
    // The length will be unknown: with HTTP/1.0 that costs the connection.
    if (exchange_.fact(SLUICE_METHOD) == "HEAD" || exchange_.fact(SLUICE_PROTOCOL) == "HTTP/1.0") return std::nullopt;
    if (has(Side::request, "Cache-Control", "no-transform")) return std::nullopt;
    AcceptEncoding accepted;
    for_each_value(Side::request, "Accept-Encoding", [&](std::string_view value) { accepted.add(value); });
    return accepted.choose(config().codings);
  }

  template <typename Visit>
  void for_each_value(Side side, std::string_view field, Visit&& visit) const {
    for (size_t i = 0;; ++i) {
      const auto value = exchange_.header(side, field, i);
      if (!value) return;
      visit(*value);
    }
  }

  [[nodiscard]] bool has(Side side, std::string_view field, std::string_view entry) const {
    bool found = false;
    for_each_value(side, field, [&](std::string_view value) { found = found || lists(value, entry); });
    return found;
  }

  void vary() const {
    if (has(Side::response, "Vary", "Accept-Encoding") || has(Side::response, "Vary", "*")) return;
    exchange_.add_header(Side::response, "Vary", "Accept-Encoding");
  }

  // Other bytes for the same thing (RFC 9110 §8.8.1).
  void weaken_etag() const {
    const auto etag = exchange_.header(Side::response, "ETag");
    if (!etag || etag->starts_with("W/")) return;
    char weak[256] = "W/";
    if (etag->size() + 2 > sizeof(weak)) {
      exchange_.remove_header(Side::response, "ETag");
      return;
    }
    etag->copy(weak + 2, etag->size());
    exchange_.set_header(Side::response, "ETag", {weak, etag->size() + 2});
  }

  void release() {
    if (encoder_ == nullptr) return;
    worker().encoders.give_back(coding_, std::move(encoder_));
    const WorkerHandle handle = exchange_.worker();
    handle.count(config().responses[static_cast<size_t>(coding_)]);
    handle.count(config().bytes_in, bytes_in_);
    handle.count(config().bytes_out, bytes_out_);
  }

  Exchange exchange_;
  std::unique_ptr<Encoder> encoder_;  // while a body goes through it
  Coding coding_ = Coding::gzip;
  bool flushes_ = false;
  size_t gathered_ = 0;
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
};

}  // namespace sluice::compress

SLUICE_PLUGIN("compress", "1.0", sluice::compress::Config, sluice::compress::Worker, sluice::compress::Filter)
