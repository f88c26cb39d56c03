// Exchange: one request and its response. Made by its Client when a request head is complete; owns its memory (arena), its
// upstream connection (lease) and both directions' outgoing bytes; freed at the end of the turn in which it ended.
// Worker thread only.
//
// Phase       what is awaited                                         leaves by
// filtering   the plugins of the listener and the route, if there are any      they let it pass -> connecting, or a local answer
// connecting  a connection from the pool                              lease -> awaiting; failure -> retry or local answer
// awaiting    the response's head (request body goes up meanwhile)    head -> relaying; 101 -> tunnel; failure -> retry or answer
// relaying    the response's body                                     last byte -> finishing; failure -> abort
// tunnel      bytes both ways                                         both sides closed -> over
// finishing   the client to take the last bytes, or to send the rest of its request -> over
// over        -
//
// The request's side runs beside this: request_complete() turns true once, and finish() needs both.
#pragma once

#include "base/arena.h"
#include "base/unique_fd.h"
#include "filter/chain.h"
#include "http/chunked.h"
#include "http/serializer.h"
#include "proxy/generation.h"
#include "proxy/head_composer.h"
#include "proxy/outbox.h"
#include "proxy/request.h"
#include "proxy/slices.h"

namespace sluice::proxy {

class Client;
class Engine;
struct Problem;

class Exchange final : private upstream::Carrier::User, private upstream::Pool::Waiter, private filter::Subject {
 public:
  Exchange(Engine& engine, Client& client);
  ~Exchange();

  [[nodiscard]] Engine& engine() { return engine_; }

  /// Begins with a complete head, whose views lie in `bytes`; both are valid during the call only. `early`: some of it came as TLS early
  /// data.
  void start(const http::RequestHead& head, std::string_view bytes, bool early);
  /// Begins and ends with an answer to a head that could not be read.
  void refuse(Error error, http::Version version = http::Version::http11, http::Method method = http::Method::unknown);

  // From the client:
  [[nodiscard]] bool request_complete() const { return request_complete_; }
  /// It paused the client, and will resume it.
  [[nodiscard]] bool holds_client_back() const { return client_paused_; }
  /// Takes what belongs to this request's body off the front of `bytes` and returns the rest.
  std::string_view take_request_bytes(std::string_view bytes);
  /// HTTP/2: the request has ended behind what was taken; `trailers` is a block of `fields` lines, or empty.
  void on_request_end(std::string_view trailers, size_t fields);
  /// All bytes of this wake-up were handed over: time to write them out.
  void on_client_pause_point();
  void on_client_writable() { flush_client(); }
  void on_client_eof();
  void on_client_timeout(Reason reason);
  /// True if the exchange goes on without its client, which is gone for `reason`: it is heard of by on_client_writable(), and
  /// what is written is dropped.
  [[nodiscard]] bool outlives_client(Reason reason);
  /// The connection is closed; the client does not want to hear of this exchange again.
  void on_client_gone(Reason reason);
  /// It cannot go on: the client gets an answer that says so, or sees the answer that has begun break off.
  void fail(Error error);

 private:
  enum class Phase : uint8_t { filtering, connecting, awaiting, relaying, tunnel, finishing, over };

  // upstream::Carrier::User
  void on_informational(const http::ResponseHead& head) override;
  void on_response_head(const http::ResponseHead& head, const http::ResponseFraming& framing) override;
  void on_response_body(std::string_view data) override;
  event::Pipe* offer_splice(uint64_t left) override;
  void on_response_end(const http::HeaderMap& trailers) override;
  void on_upstream_pause_point() override { flush_client(); }
  void on_upstream_writable() override { flush_upstream(); }
  void on_upstream_error(Error error) override;
  // upstream::Pool::Waiter
  void on_lease(upstream::Carrier& carrier) override;
  void on_lease_failed(Error error) override;
  upstream::Carrier::User& user() override { return *this; }
  [[nodiscard]] http::Method request_method() const override { return request_.head.method; }
  [[nodiscard]] http::ProxyHeader proxy_header() const override;
  [[nodiscard]] upstream::Introductions* introductions() const override;

  // filter::Subject
  [[nodiscard]] std::string_view fact(sluice_fact which) const override;
  [[nodiscard]] std::string_view fact_of_tls(sluice_fact which) const;
  void report(sluice_progress& progress) const override;
  bool param(std::string_view name, std::string_view& value) const override;
  [[nodiscard]] http::HeaderMap* headers(sluice_side side) override;
  [[nodiscard]] Arena& arena() override { return arena_; }
  void write_response_body(std::string_view bytes) override;
  void outlive_client() override { filtering_->outlives_client = true; }
  void on_resumed(filter::Phase phase) override;

  // exchange.cc: the life of an exchange, and the request's body
  [[nodiscard]] const snapshot::ListenerSpec& listener() const { return *listener_; }
  void route();
  [[nodiscard]] Millis time_allowed() const;
  void dispatch();
  void start_proxying();
  std::string_view take_chunked(std::string_view bytes);
  std::string_view take_unframed(std::string_view bytes);
  void forward_body(std::string_view data, bool last);
  void send_body(std::string_view data);
  void refuse_body(Error error);
  void end_request(std::string_view trailers, size_t fields);
  void finish_request(std::string_view trailers, size_t fields);
  /// All of it came, and no plugin holds the rest: it may still wait to be sent.
  [[nodiscard]] bool request_ends() const;
  void add_request_trailers(std::string_view block, size_t fields);
  [[nodiscard]] uint64_t body_limit() const;
  void flush_upstream();
  void end_way_up();
  void hold_request();
  void pause_client();
  void resume_client();
  void watch_client();
  void watch_tunnel();
  void on_tunnel_progress(stats::SeriesId ListenerSeries::*direction, uint64_t bytes);
  void maybe_finish();
  void maybe_end_tunnel();
  void finish();
  void end();
  void on_route_timeout();

  // exchange_client.cc: writing the response
  void flush_client();
  event::IoStatus send_held();
  bool flush_held();
  void wait_for_client(bool progress);
  void on_client_drained();
  bool write_file_body();
  bool read_file_body();
  bool write_pipe();

  // exchange_upstream.cc: tries, retries and the response
  void begin_try(upstream::Endpoint& endpoint, bool fresh);
  void attach(upstream::Carrier& carrier);
  void arm_response_timeout();
  [[nodiscard]] bool can_repeat(bool unprocessed = false) const;
  bool retry_after(Error error);
  bool retry_status(const http::ResponseHead& head);
  bool spend_retry();
  void repeat(upstream::Endpoint& endpoint, Reason why, bool fresh);
  [[nodiscard]] ClientFraming client_framing(const http::ResponseHead& head, const http::BodyFraming& body) const;
  void send_head(const http::ResponseHead& head, const http::ResponseFraming& framing);
  void send_response_body(std::string_view data);
  void end_response(const http::HeaderMap& trailers);
  void begin_tunnel();
  void end_call(Reason reason);
  void abort(Reason reason);

  // exchange_local.cc: answers that the gateway makes itself
  void answer_error(Error error);
  void answer_problem(const Problem& problem, const http::HeadWriter& fields);
  void keep_detail(Error error);
  void answer_options();
  void answer_respond();
  void answer_redirect();
  void answer_file();
  void answer(uint16_t status, std::string_view field_lines, std::string_view body);
  bool begin_answer(uint16_t status, std::string_view field_lines, http::BodyFraming body);
  void drop_upstream(Reason reason);
  [[nodiscard]] bool may_keep_alive() const;

  // exchange_filter.cc: the plugins, on the way in
  void add_filters(const std::vector<uint32_t>& plugins);
  void filter_request_start();
  void filter_request();
  void wait_for_plugin();
  [[nodiscard]] bool filter_request_body(std::string_view data, bool last);
  void resume_request_body();
  static void drop_named_fields(http::HeaderMap& headers, http::ConnectionOptions& connection, Arena& arena);
  void complete_filters();
  [[nodiscard]] std::string_view plugin_costs();
  [[nodiscard]] std::string_view plugin_phase_costs();

  // exchange_filter_response.cc: and on the way back
  void filter_response(const http::ResponseHead& head, const http::ResponseFraming& framing);
  void run_response_filters();
  void send_filtered_head();
  bool filter_response_body(std::string_view data, bool last);
  [[nodiscard]] bool filter_response_end(const http::HeaderMap& trailers);
  [[nodiscard]] http::HeaderMap without_dropped(const http::HeaderMap& fields);
  void resume_response_body();
  void release_response(size_t at, bool end_was_seen);
  void answer_plugin();
  void answer_unfiltered(Error error);
  void filter_answer(uint16_t status, std::string_view field_lines, http::BodyFraming body, std::string_view text);
  void send_filtered_answer();
  void filter_answer_body();
  bool pass_answer_piece();
  void end_answer();
  [[nodiscard]] bool filters_file() const;
  bool filter_file_body();
  void use_unknown_length();

  // exchange_record.cc: what is left of an exchange: counters and a line in the log
  void record();
  /// What the log calls the reason: a plugin has codes of its own.
  [[nodiscard]] std::string_view reason_code() const;
  void count();
  void log();

  // What an exchange with plugins has beside the rest; in the arena.
  struct Filtering {
    explicit Filtering(Exchange& exchange);
    /// A plugin paused the response: what comes of it stays here.
    [[nodiscard]] bool holds_response() const { return holds_head || holds_body; }

    filter::Chain chain;
    http::ResponseHead head;  // of the response, as far as the plugins changed it; status 0: there is none yet
    http::ResponseFraming framing;
    sluice_origin origin = SLUICE_FROM_UPSTREAM;
    std::string_view answer_body;  // of a local answer; of a file, the piece that is on its way
    std::span<char> file_piece;    // where pieces of a file are read to
    std::string_view reason;       // a plugin's code for its answer
    Buffer held_request;           // a piece of the request's body that a plugin paused
    Buffer held_response;          // the piece of the response's body that a plugin paused, and what came behind it
    size_t piece_bytes = 0;        // length of that piece
    http::HeaderMap trailers;
    bool reads_body = false;  // a plugin reads the request's body while the request waits
    bool holds_request = false;
    bool held_request_is_last = false;
    bool holds_head = false;
    bool holds_body = false;
    bool holds_end = false;     // the response's end came while it was held
    bool end_was_seen = false;  // the plugin that paused has been told of it
    bool outlives_client = false;
    bool overflowed = false;  // a plugin wrote more of the body than can be held
    bool passed_by = false;   // this answer does not go through the plugins any more
  };

  Engine& engine_;
  Client* client_;            // nullptr once it is gone
  GenerationRef generation_;  // what it began with, to its end
  const snapshot::ListenerSpec* listener_;
  Arena arena_;
  Request request_;
  http::ChunkedDecoder request_chunks_;
  Outbox to_client_;
  Outbox to_upstream_;                  // the body, without its framing
  std::string_view upstream_trailers_;  // behind the body
  Buffer replay_;  // the request body as it was sent, while the request may still have to be repeated

  Filtering* filtering_ = nullptr;  // no plugins, mostly
  upstream::Cluster* cluster_ = nullptr;
  stats::SeriesId retries_ = stats::kSink;
  upstream::EndpointRef endpoint_;  // outlives the lease
  upstream::Lease lease_;
  std::string_view upstream_head_;
  ClientFraming client_framing_;
  UniqueFd file_;
  uint64_t file_offset_ = 0;
  uint64_t file_left_ = 0;
  std::unique_ptr<event::Pipe> pipe_;  // a large response body on its way, behind what to_client_ holds
  uint64_t body_sent_ = 0;             // bytes that left by sendfile or splice
  uint64_t client_took_ = 0;           // of to_client_, when it was last looked at

  event::Timer route_timer_;
  Slices slices_;
  uint64_t request_bytes_ = 0;  // head and body, as received
  uint64_t body_received_ = 0;
  uint32_t tries_ = 0;
  uint32_t policy_retries_ = 0;
  std::string_view detail_;  // beside reason_, for the log
  uint16_t status_ = 0;
  Reason reason_ = Reason::none;
  Phase phase_ = Phase::filtering;
  bool request_complete_ = false;
  bool response_begun_ = false;     // a byte of the final head was queued for the client
  bool response_complete_ = false;  // all of it was queued
  bool ends_by_trailers_ = false;   // it is a call's (gRPC), so that trailers can tell why it is not whole
  bool ended_call_ = false;         // they did: what was queued is not all of it
  bool keep_alive_ = true;
  bool upstream_dead_ = false;  // writing failed; reading may still find an answer
  bool stale_retried_ = false;
  bool replayable_ = true;  // all of the body that was sent is in replay_
  bool refused_ = false;    // an endpoint did so, and it was repeated
  bool upstream_reused_ = false;
  bool sent_some_ = false;         // of this request, in this try
  bool sent_all_ = false;          // likewise
  bool upstream_reached_ = false;  // a byte of this request was sent in an earlier try
  bool client_paused_ = false;     // the client is not read, since the upstream is slow
  bool is_tunnel_ = false;         // it was, or had been when it ended
  bool upstream_shut_ = false;     // tunnel: our FIN went up
  bool client_shut_ = false;       // tunnel: our FIN went down
};

}  // namespace sluice::proxy
