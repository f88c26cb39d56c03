/* The C interface between Sluice and its plugins, version 1. A plugin is a shared object sluice_<name>.so that exports one
 * constant, `sluice_plugin`. README.md beside this file writes one in ten minutes; sdk.hpp wraps all of this for C++.
 *
 * Compatibility. Tables only grow: every struct that crosses begins with the size that its maker knew, and what lies beyond
 * that size is not there. A gateway loads plugins built with this header or any later one of the same abi_version; a change
 * that cannot be made so gets a new abi_version. Fields marked "host" are filled by the gateway, "plugin" by the plugin.
 *
 * Threads. configure() and discard() run on any one thread at a time, never two for the same configuration. Everything else
 * of an instance runs on the thread of its worker, and each worker is alone with its own state. Nothing here may block.
 *
 * Text is never NUL-terminated. A view that the host gives lives until the callback returns, unless its line says more; one
 * that the plugin gives is copied before the host's function returns. */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_ABI_VERSION 1u
/* For ids: there is no such thing. */
#define SLUICE_NONE UINT32_MAX
/* True if the maker of *table knew `field`. */
#define SLUICE_HAS(table, field) \
  ((const char*)&(table)->field + sizeof((table)->field) <= (const char*)(table) + (table)->struct_size)

struct sluice_str {
  const char* data; /* may be NULL if size is 0 */
  size_t size;
};

/* ---- what the host hands out ---- */

/* One instance (a module and a configuration) on one worker. The host owns it; it dies after stop_worker(). */
struct sluice_worker {
  uint32_t struct_size;
  const void* config; /* host: what configure() made */
  void* state;        /* plugin: what start_worker() made */
};

/* One instance in one exchange (a request and its response). The host owns it; it dies after on_complete(). */
struct sluice_filter {
  uint32_t struct_size;
  struct sluice_worker* worker; /* host */
  void* state;                  /* plugin: NULL at first; free it in on_complete(), if it is not from allocate() */
};

/* ---- what a phase answers ---- */

typedef uint32_t sluice_verdict;
enum {
  SLUICE_CONTINUE = 0, /* on to the next filter */
  SLUICE_PAUSE = 1,    /* wait for resume(): nothing more of this direction comes, and its sender is held back */
  SLUICE_RESPOND =
      2, /* respond() was called: that is the answer. Later request phases are skipped; the response phases of
                          this filter and of those before it run, in reverse order. In a response phase the answer replaces
                          the one that came, unless part of that has left: then the exchange is aborted. */
  SLUICE_READ_BODY = 3 /* on_request only: the request waits here, and its body is read and given to this filter's
                          on_request_body alone, which at the end must respond (or go on: the body is gone then, so this is
                          refused with 500 unless there was none) */
};

/* ---- configuration ---- */

/* A value in the YAML file; belongs to the host, valid until configure() returns. */
struct sluice_node;

typedef uint32_t sluice_node_kind;
enum { SLUICE_NODE_SCALAR = 0, SLUICE_NODE_LIST = 1, SLUICE_NODE_MAP = 2 };

/* What configure() may ask and say. Functions that read a value return 1, or 0 after they reported the error themselves, with
 * file, line and column. Keys of a map that configure() never asked for are reported as unknown, with "did you mean". */
struct sluice_setup {
  uint32_t struct_size;
  const struct sluice_host* host; /* lives as long as the process */
  struct sluice_str instance;     /* the name under `plugins:` */
  const struct sluice_node* root; /* the map under `config:`; NULL if there is none */

  sluice_node_kind (*kind)(struct sluice_setup*, const struct sluice_node*);
  /* The value of `key` in a map; NULL if it is absent (or `map` is NULL, or no map: an error then). */
  const struct sluice_node* (*child)(struct sluice_setup*, const struct sluice_node* map, struct sluice_str key);
  /* Entries of a list or map. */
  size_t (*count)(struct sluice_setup*, const struct sluice_node*);
  /* Entry `index` < count. For a map whose keys are the user's; `key` may be NULL. */
  const struct sluice_node* (*entry)(struct sluice_setup*, const struct sluice_node*, size_t index,
                                     struct sluice_str* key);

  int (*text)(struct sluice_setup*, const struct sluice_node*, struct sluice_str* out);
  int (*boolean)(struct sluice_setup*, const struct sluice_node*, int* out);
  int (*integer)(struct sluice_setup*, const struct sluice_node*, int64_t min, int64_t max, int64_t* out);
  int (*number)(struct sluice_setup*, const struct sluice_node*, double min, double max, double* out); /* 0.05 or 5% */
  int (*duration)(struct sluice_setup*, const struct sluice_node*, uint64_t min_ms, uint64_t max_ms, uint64_t* out_ms);
  int (*size)(struct sluice_setup*, const struct sluice_node*, uint64_t min, uint64_t max, uint64_t* out_bytes);
  /* The content of the file that the node names, relative to the file of the node; at most 16 MiB. When it changes, a reload
   * makes the instance anew. */
  int (*file)(struct sluice_setup*, const struct sluice_node*, struct sluice_str* content);
  /* The id of the store that the node names; with node NULL: of the store `default`, or the only one. SLUICE_NONE after an
   * error. */
  uint32_t (*store)(struct sluice_setup*, const struct sluice_node*);

  /* Figures in /metrics: sluice_plugin_events_total{plugin,event} and sluice_plugin_values{plugin,value} (a histogram of
   * microseconds). `name`: [a-z0-9_]+. The same name gives the same id. */
  uint32_t (*counter)(struct sluice_setup*, struct sluice_str name);
  uint32_t (*histogram)(struct sluice_setup*, struct sluice_str name);

  /* `node` NULL: at the instance itself. */
  void (*error)(struct sluice_setup*, const struct sluice_node* node, struct sluice_str message);
  void (*warning)(struct sluice_setup*, const struct sluice_node* node, struct sluice_str message);

  /* The id, for http(), of the upstream that the node names. SLUICE_NONE after an error. */
  uint32_t (*upstream)(struct sluice_setup*, const struct sluice_node*);

  /* No phase shows a response's trailers, nor the heads that come before the final one (1xx). Fields of both whose names begin so, in
   * any case and with - or _, go no further where this instance takes part: for a plugin that keeps such fields of the head from
   * the client. */
  void (*drop_trailers)(struct sluice_setup*, struct sluice_str prefix);
};

/* ---- the host's functions ---- */

typedef uint32_t sluice_fact;
enum {
  SLUICE_METHOD = 0,
  SLUICE_SCHEME = 1,
  SLUICE_HOST = 2,     /* as the client wrote it, without port */
  SLUICE_PATH = 3,     /* normalised; what routing sees */
  SLUICE_TARGET = 4,   /* as on the wire */
  SLUICE_QUERY = 5,    /* without '?' */
  SLUICE_PROTOCOL = 6, /* "HTTP/1.1" */
  SLUICE_PEER = 7,     /* address of the connection's other end, without port */
  SLUICE_CLIENT = 8,   /* who the request is from: the peer, or what a trusted proxy says */
  SLUICE_REQUEST_ID = 9,
  SLUICE_ROUTE = 10, /* the route's name; empty before routing */
  SLUICE_LISTENER = 11,
  SLUICE_REASON = 12, /* why the gateway failed or refused, as in the log; empty if it did not */
  /* Of the client's connection; empty without TLS, and where the client gave no certificate. One that it gave is verified. */
  SLUICE_TLS_VERSION = 13,           /* "TLSv1.3" */
  SLUICE_TLS_CIPHER = 14,            /* "TLS_AES_128_GCM_SHA256" */
  SLUICE_TLS_SERVER_NAME = 15,       /* SNI, as the client wrote it */
  SLUICE_TLS_CLIENT_SUBJECT = 16,    /* RFC 2253: "CN=app,O=Example" */
  SLUICE_TLS_CLIENT_NAMES = 17,      /* of subjectAltName: "DNS:app.example.com, URI:spiffe://example.com/app" */
  SLUICE_TLS_CLIENT_FINGERPRINT = 18 /* SHA-256 in lower-case hexadecimal digits */
};

typedef uint32_t sluice_side;
enum { SLUICE_REQUEST = 0, SLUICE_RESPONSE = 1 };

typedef uint32_t sluice_origin;
enum {
  SLUICE_FROM_UPSTREAM = 0,
  SLUICE_FROM_GATEWAY = 1, /* an error, a redirect, a file, a fixed answer */
  SLUICE_FROM_PLUGIN = 2
};

/* The exchange so far. */
struct sluice_progress {
  uint32_t struct_size;
  uint32_t status;             /* host: of the response; 0 before it */
  sluice_origin origin;        /* host: who made the response */
  uint32_t upstream_reached;   /* host: 1 if any byte of the request was sent to an endpoint */
  int64_t request_body_bytes;  /* host: announced; -1: unknown (chunked) */
  int64_t response_body_bytes; /* host: likewise; -1 before the response and if unknown */
};

struct sluice_header {
  struct sluice_str name;
  struct sluice_str value;
};

/* An answer that a plugin makes. With `reason` and no body the host makes a problem+json body of it, as for its own errors. */
struct sluice_response {
  uint32_t struct_size;
  uint32_t status;                     /* 200..599 */
  const struct sluice_header* headers; /* without those of framing: they are the host's */
  size_t header_count;
  struct sluice_str body;
  struct sluice_str reason; /* [a-z0-9_]+: the code in the log; empty: none */
  struct sluice_str detail; /* a sentence for the problem's `detail` */
};

typedef uint32_t sluice_level;
enum { SLUICE_DEBUG = 0, SLUICE_INFO = 1, SLUICE_WARN = 2, SLUICE_ERROR = 3 };

typedef uint32_t sluice_operation;
enum {
  SLUICE_GET = 0,           /* -> FOUND, ABSENT */
  SLUICE_TOUCH = 1,         /* GET, and the time to live begins anew; never revives a key   -> FOUND, ABSENT */
  SLUICE_PUT = 2,           /* -> DONE */
  SLUICE_PUT_IF_ABSENT = 3, /* -> DONE; FOUND with the winner's value */
  SLUICE_REPLACE_IF =
      4, /* PUT if the value there begins with `expected`      -> DONE; FOUND with another value; ABSENT */
  SLUICE_REMOVE_IF =
      5,             /* REMOVE if the value there begins with `expected`   -> DONE; FOUND with another value; ABSENT */
  SLUICE_REMOVE = 6, /* -> DONE, ABSENT */
  SLUICE_TAKE = 7,   /* one unit of a rate (GCRA)                                    -> DONE, REFUSED */
  SLUICE_ADD = 8     /* to a decimal number, 0 if absent; ttl from the first one     -> DONE with sum */
};

struct sluice_store_command {
  uint32_t struct_size;
  sluice_operation operation;
  struct sluice_str key; /* 1..1024 bytes; the host puts nothing before it: choose a prefix */
  struct sluice_str value;
  struct sluice_str expected;
  uint64_t ttl_ms; /* > 0 for TOUCH, PUT, PUT_IF_ABSENT, REPLACE_IF, ADD */
  int64_t amount;
  uint64_t period_us; /* TAKE: `burst` units at once, then one each period_us / units */
  uint32_t units;
  uint32_t burst;
};

typedef uint32_t sluice_outcome;
enum {
  SLUICE_DONE = 0,
  SLUICE_FOUND = 1,
  SLUICE_ABSENT = 2,
  SLUICE_REFUSED = 3,
  SLUICE_FAILED =
      4 /* whether it was carried out is unknown, unless reason is store_unavailable or store_full: it was not */
};

struct sluice_store_result {
  uint32_t struct_size;
  sluice_outcome outcome;
  struct sluice_str value;
  struct sluice_str reason; /* FAILED: store_unavailable, store_timeout, store_lost, store_refused, store_full */
  int64_t sum;
  uint64_t retry_after_us; /* TAKE, REFUSED */
  uint64_t reset_after_us; /* TAKE: when the whole burst is there again */
  uint32_t remaining;      /* TAKE */
};
typedef void (*sluice_store_done)(void* user, const struct sluice_store_result*);

typedef void (*sluice_timer_done)(void* user);

/* A request of the plugin's own to one of the configuration's upstreams: one endpoint of it is asked, once. */
struct sluice_http_request {
  uint32_t struct_size;
  uint32_t upstream;                   /* an id of setup->upstream() */
  struct sluice_str method;            /* GET, HEAD, POST, PUT, DELETE */
  struct sluice_str target;            /* path and query */
  struct sluice_str host;              /* of the Host header; empty: the endpoint's address */
  const struct sluice_header* headers; /* without those of framing: they are the host's */
  size_t header_count;
  struct sluice_str body;  /* at most 128 KiB */
  uint64_t timeout_ms;     /* for all of it, 1 ms..60 s */
  uint64_t max_body_bytes; /* of the answer's, at most 1 MiB; a longer one is a failure */
};

struct sluice_http_result {
  uint32_t struct_size;
  uint32_t status; /* of a whole answer; 0: there was none, and `reason` says why */
  const struct sluice_header* headers;
  size_t header_count;
  struct sluice_str body;
  struct sluice_str reason; /* as in the log: connect_failed, upstream_timeout, upstream_bad_response, ... */
};
typedef void (*sluice_http_done)(void* user, const struct sluice_http_result*);

struct sluice_host {
  uint32_t struct_size;
  uint32_t abi_version;

  /* -- of one exchange; not after on_complete() -- */

  struct sluice_str (*fact)(struct sluice_filter*, sluice_fact);
  void (*progress)(struct sluice_filter*, struct sluice_progress*);
  /* A parameter that the route's path pattern captured; 1 if there is one of that name. */
  int (*param)(struct sluice_filter*, struct sluice_str name, struct sluice_str* out);

  /* Header fields, names in any case. The request's can be read at any time, and changed in on_request_start and on_request;
   * the response's can be read and changed in on_response. Both also by the filter that paused such a phase, until it resumes.
   * A view lives until the callback returns; one of the request's lives as long as the exchange. A request's trailers go no further. */
  size_t (*header_count)(struct sluice_filter*, sluice_side);
  int (*header_at)(struct sluice_filter*, sluice_side, size_t index, struct sluice_header* out);
  /* Value of the `nth` field of that name, from 0; 1 if there is one. Setting replaces all fields of the name. */
  int (*header)(struct sluice_filter*, sluice_side, struct sluice_str name, size_t nth, struct sluice_str* out);
  /* 1, or 0 if name or value is malformed, the name is one of framing or of the connection, or it is too late. */
  int (*set_header)(struct sluice_filter*, sluice_side, struct sluice_str name, struct sluice_str value);
  int (*add_header)(struct sluice_filter*, sluice_side, struct sluice_str name, struct sluice_str value);
  int (*remove_header)(struct sluice_filter*, sluice_side, struct sluice_str name);

  /* Texts by which the filters of one exchange tell each other things, e.g. jwt.sub. They live as long as the exchange. */
  int (*get_shared)(struct sluice_filter*, struct sluice_str key, struct sluice_str* out);
  void (*set_shared)(struct sluice_filter*, struct sluice_str key, struct sluice_str value);

  /* The answer; then the phase returns (or is resumed with) SLUICE_RESPOND. 0 if it is not a valid one. */
  int (*respond)(struct sluice_filter*, const struct sluice_response*);
  /* In on_response: the body that goes to the client is what write_body() gives it in on_response_body, and nothing else. Only so
   * much more than came that it can be held for a client that is slow: some 64 KiB for a piece. */
  void (*replace_body)(struct sluice_filter*);
  void (*write_body)(struct sluice_filter*, struct sluice_str bytes);
  /* Memory that lives as long as the exchange, aligned for anything; at most 64 KiB at once. */
  void* (*allocate)(struct sluice_filter*, size_t bytes);
  /* For resume(); ask in the phase that returns SLUICE_PAUSE. */
  uint64_t (*token)(struct sluice_filter*);

  /* -- of one worker -- */

  /* The paused phase goes on with `verdict`, SLUICE_CONTINUE, SLUICE_RESPOND or, if it was on_request, SLUICE_READ_BODY: not from inside this call, but in the same turn of the
   * loop. Harmless if the exchange has ended. May be called before the phase has returned SLUICE_PAUSE. */
  void (*resume)(struct sluice_worker*, uint64_t token, sluice_verdict verdict);
  uint64_t (*now_us)(struct sluice_worker*);  /* monotonic */
  uint64_t (*wall_us)(struct sluice_worker*); /* since the epoch */
  void (*log)(struct sluice_worker*, sluice_level, struct sluice_str message);
  void (*count)(struct sluice_worker*, uint32_t counter, uint64_t amount);
  void (*observe)(struct sluice_worker*, uint32_t histogram, uint64_t micros);

  /* Asynchronous work. `done` is called once on this thread, unless it is cancelled; what is outstanding at stop_worker() is
   * cancelled. Each returns an id for cancel(). A store may know the answer at once: then `done` is called from inside store(),
   * which returns 0. store()'s `done` may be NULL: nobody wants to know. */
  uint64_t (*store)(struct sluice_worker*, uint32_t store, const struct sluice_store_command*, sluice_store_done,
                    void* user);
  uint64_t (*timer)(struct sluice_worker*, uint64_t after_ms, sluice_timer_done, void* user);
  /* Its `done` is not called. What a store was told to do may still happen. Harmless for an id that is over. */
  void (*cancel)(struct sluice_worker*, uint64_t id);

  /* Of one exchange, in on_response: on_response_body of this filter is not called for this response. One whose body nobody
   * looks at goes from the socket or file to the client without being copied. */
  void (*skip_body)(struct sluice_filter*);

  /* Of one worker, as store() and timer(): `done` is never called from inside http(). What the result shows lives until `done`
   * returns. */
  uint64_t (*http)(struct sluice_worker*, const struct sluice_http_request*, sluice_http_done, void* user);
  /* Of one exchange, in on_request_start or on_request: once all of the request has come, it is carried out to its end though
   * the client goes away; the upstream's answer passes the response phases, and what would have gone to the client is dropped. */
  void (*outlive_client)(struct sluice_filter*);

  /* Of one exchange: index of the first field, at `from` or behind it, whose name begins like `prefix` as CGI and its heirs read
   * names, in any case and with '_' for '-' (RFC 3875 §4.1.18); SIZE_MAX if there is none. */
  size_t (*header_like)(struct sluice_filter*, sluice_side, struct sluice_str prefix, size_t from);
};

/* ---- what a plugin exports ---- */

struct sluice_summary {
  uint32_t struct_size;
  uint32_t status; /* what the client got; 499: it went away before */
  struct sluice_str reason;
  uint32_t attempts;
  uint32_t complete; /* 1 if the client got all of the response */
  uint64_t bytes_in; /* head and body */
  uint64_t bytes_out;
  /* Where the time went, in microseconds. */
  uint64_t read_head_us, wait_connection_us, upstream_first_byte_us, response_us, total_us;
};

struct sluice_plugin {
  uint32_t struct_size; /* sizeof(struct sluice_plugin) */
  uint32_t abi_version; /* SLUICE_ABI_VERSION */
  const char* name;     /* <name> of sluice_<name>.so; NUL-terminated, as is version */
  const char* version;

  /* Reads the configuration and returns it compiled, for all workers to share and none to change; or NULL after an error that
   * it reported. NULL here: the plugin takes no configuration. Called for `sluice check` too, and by a reload on a thread of its own
   * while workers serve with what was configured before: write a global once. */
  void* (*configure)(struct sluice_setup*);
  void (*discard)(void* config);
  /* On each worker's thread, before the first exchange and after the last. */
  void (*start_worker)(struct sluice_worker*);
  void (*stop_worker)(struct sluice_worker*);

  /* The phases of an exchange, in this order; any of them may be NULL. on_request_start: a listener's plugins only, before
   * routing. Bodies come in pieces, the last with last = 1; it may be empty. A message without a body has no body phase.
   * on_response comes for answers of the gateway too. Response phases run in reverse order. */
  sluice_verdict (*on_request_start)(struct sluice_filter*);
  sluice_verdict (*on_request)(struct sluice_filter*);
  sluice_verdict (*on_request_body)(struct sluice_filter*, struct sluice_str data, int last);
  sluice_verdict (*on_response)(struct sluice_filter*);
  sluice_verdict (*on_response_body)(struct sluice_filter*, struct sluice_str data, int last);
  /* Always comes, once, for a filter of which any phase was called; the client may be gone. Nothing may be asked of the
   * exchange after it. */
  void (*on_complete)(struct sluice_filter*, const struct sluice_summary*);
};

/* extern const struct sluice_plugin sluice_plugin; with C linkage and default visibility */
#define SLUICE_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
}
#endif

#endif
