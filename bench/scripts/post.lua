-- wrk posts the file that BODY names, with AUTHORIZATION as a header if there is one, and says at its end what it saw.
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = os.getenv("AUTHORIZATION")
file:close()

function done(summary, latency, _)
    local errors = summary.errors
    io.stderr:write(string.format(
        '{"requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "socket": %d, "status": %d, "timeout": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.connect + errors.read + errors.write, errors.status, errors.timeout))
end
