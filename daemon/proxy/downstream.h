// Downstream: one client connection. It reads, finds request heads, and hands each request to an Exchange, one at a time;
// pipelined requests wait in order. Owned by the Engine's slab, worker thread only; freed at the end of the turn in which it
// closed. An idle one owns no buffer: only this object and libuv's poll handle.
//
// State      meaning                                                   leaves by
// handshake  a PROXY header, then TLS, as the listener has them        its end, or early data -> idle; failure or timeout -> closed
// idle       no byte of a request is here                              first byte -> reading; idle timeout -> closed
// reading    part of a head is here                                    whole head -> exchange; timeout -> 408
// waiting    an exchange runs                                          its end -> idle, lingering or closed
// writing    an exchange runs, and the client does not read            as waiting
// tunnel     an exchange runs, bytes pass both ways                    its end -> closed
// lingering  our side is closed; what the client still sends is dropped, so that it can read our last answer   -> closed
// lost       the client is gone, the exchange goes on (outlives_client()): what it would send is dropped      its end -> closed
#pragma once

#include "base/address.h"
#include "base/buffer.h"
#include "base/intrusive_list.h"
#include "http/head_scanner.h"
#include "http/proxy_protocol.h"
#include "proxy/client.h"
#include "tls/channel.h"
#include "upstream/introductions.h"

namespace sluice::proxy {

class Engine;
class Exchange;
class Http2Connection;
struct DownstreamTag;

/// How long a connection that is asked to end goes on, so that a request that is on its way is not lost: one second of the usual
/// 30 of process.shutdown_grace.
Millis parting_time(const snapshot::Snapshot& snapshot);

class Downstream final : public ListNode<DownstreamTag>, public Client, private event::Stream::Handler {
 public:
  Downstream(Engine& engine, ListenerSlot slot, const SocketAddress& peer, bool trusted);
  ~Downstream();

  /// Takes over the accepted descriptor.
  void open(int fd);
  /// Ends the connection, and the exchange with it, unless that outlives a client that went away. Idempotent.
  void close(Reason reason) override;
  /// The gateway ends: closes, but what it serves is failed first, so that its client hears why as far as it can.
  void shut_down();

  /// Its listener is gone, or the gateway drains: it ends with its next answer, or soon if no request comes. `last` is the
  /// generation that its listener belongs to: held, it keeps the listener's slot and series for us.
  void part(const GenerationRef& last);

  [[nodiscard]] ListenerSlot slot() const { return slot_; }
  /// The client's address, without its port.
  [[nodiscard]] SocketAddress peer() const;
  void set_trusted(bool trusted) { trusted_ = trusted; }

  [[nodiscard]] const ListenerSeries& series() const;
  [[nodiscard]] std::string_view peer_ip() const { return {peer_ip_, peer_ip_length_}; }
  [[nodiscard]] uint16_t peer_port() const { return peer_port_; }
  /// Whose connection this is, for an endpoint that wants to be told so.
  [[nodiscard]] http::ProxyHeader proxy_header() const;
  /// The connections to such endpoints.
  [[nodiscard]] upstream::Introductions& introductions() { return introductions_; }
  [[nodiscard]] bool trusted() const { return trusted_; }
  /// nullptr: bytes go in the clear.
  [[nodiscard]] const tls::Agreement* agreement() const { return agreement_.get(); }
  [[nodiscard]] uint64_t requests() const { return requests_; }
  /// The client sent its FIN; it may still read.
  [[nodiscard]] bool half_closed() const { return half_closed_; }
  // For its Http2Connection:
  [[nodiscard]] event::Stream& stream() { return stream_; }
  void count_request() { ++requests_; }
  /// Closing at once while the client still sends would answer with RST and could destroy the answer on its way (RFC 9112 §9.6): so
  /// our side closes, and what comes until the client closes is dropped, for a while.
  void linger(Reason reason);

  // Client
  [[nodiscard]] bool lost() const override { return state_ == stats::ConnectionState::lost; }
  void pause_reading() override { stream_.want_read(false); }
  void resume_reading() override;
  void send_head(std::string_view text, Outbox& out) override { out.add(text); }
  void send_trailers(std::string_view text, Outbox& out) override;
  event::IoStatus flush(Outbox& out, bool last) override;
  [[nodiscard]] bool has_taken_all() const override { return true; }  // but for what the outbox holds
  void want_write(bool want) override { stream_.want_write(want); }
  [[nodiscard]] bool wants_write() const override { return stream_.wants_write(); }
  [[nodiscard]] event::Stream* socket() override { return &stream_; }
  void shutdown_write() override { stream_.shutdown_write(); }
  void abort(Outbox& out, bool end_means_complete, Reason reason) override;
  void on_exchange_end(After after, Reason reason) override;
  [[nodiscard]] bool last_request() const override;
  void set_state(stats::ConnectionState state) override;

  /// Process what was read but not looked at yet, at the end of this turn.
  void pump_later();

 private:
  void on_readable() override;
  void on_writable() override;
  void on_error() override;
  void on_timer() override;
  [[nodiscard]] const snapshot::ListenerSpec& listener() const { return *generation_->listener(slot_); }

  // Of a client that may send early data, from its first byte on: until its handshake is done, and no such byte waits any more.
  struct EarlyData {
    tls::Channel& channel;  // the stream's
    event::Timer deadline;  // for all of the handshake
    size_t late_bytes = 0;  // at the end of what is here: those came when the handshake was done
  };
  void begin(const snapshot::ListenerSpec& listener);
  void begin_handshake(const snapshot::ListenerSpec& listener);
  void on_handshake_done();
  void on_handshake_failed();
  void follow_early_data(size_t got);
  void expect_first_request();
  /// Why a connection ends whose last request went well.
  [[nodiscard]] Reason end_reason() const;
  // downstream_proxy_header.cc: what a load balancer says of the client before anything else
  [[nodiscard]] bool comes_with_proxy_header(const snapshot::ListenerSpec& listener) const;
  void expect_proxy_header(const snapshot::ListenerSpec& listener);
  void read_proxy_header();
  void refuse_proxy_header(Error error);
  void adopt_proxy_header(const http::ProxyHeader& header, const snapshot::ListenerSpec& listener);
  void take(std::string_view bytes);
  std::string_view process(std::string_view bytes);
  [[nodiscard]] bool begins_http2(std::string_view bytes) const;
  void begin_http2();
  bool begin_request(std::string_view& bytes);
  void expect_rest_of_head();
  void refuse_head(Error error);
  void on_client_eof();
  void become_idle();
  void lose_client(Reason reason);
  void pump();

  event::Stream stream_;
  Exchange* exchange_ = nullptr;            // of HTTP/1
  std::unique_ptr<Http2Connection> http2_;  // nullptr: HTTP/1, or nothing came yet
  tls::Channel* handshaking_ = nullptr;     // the stream's, while it is
  std::unique_ptr<const tls::Agreement> agreement_;
  std::unique_ptr<EarlyData> early_;
  upstream::Introductions introductions_;
  Buffer pending_;  // read, but not yet looked at: part of a head, or pipelined requests
  http::HeadScanner scanner_;
  uint64_t requests_ = 0;
  ListenerSlot slot_;
  Reason close_reason_ = Reason::keepalive_done;
  stats::ConnectionState state_ = stats::ConnectionState::idle;
  bool trusted_;
  bool expects_proxy_header_ = false;
  bool processing_ = false;
  bool pump_scheduled_ = false;
  bool half_closed_ = false;
  bool lingering_ = false;
  bool closed_ = false;
  uint16_t peer_port_;
  uint8_t peer_ip_length_ = 0;
  char peer_ip_[46];  // INET6_ADDRSTRLEN
};

}  // namespace sluice::proxy
