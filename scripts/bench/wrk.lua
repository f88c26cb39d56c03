-- The requests of one scenario, and wrk's summary as one line of JSON.
-- Arguments after "--": METHOD BODY_BYTES keep|close PATHS [NAME VALUE]... With PATHS > 1 the requests go in turn to /svc-0/...,
-- /svc-1/...; the rest are header fields.

function init(args)
  local body_bytes, paths = tonumber(args[2]), tonumber(args[4])
  wrk.method = args[1]
  if body_bytes > 0 then wrk.body = string.rep("x", body_bytes) end
  if args[3] == "close" then wrk.headers["Connection"] = "close" end
  for i = 5, #args, 2 do wrk.headers[args[i]] = args[i + 1] end
  if paths > 1 then
    local requests, at = {}, 0
    for i = 0, paths - 1 do requests[i] = wrk.format(nil, "/svc-" .. i .. wrk.path) end
    request = function()
      at = (at + 1) % paths
      return requests[at]
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"bytes":%d,"microseconds":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.bytes, summary.duration,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
