// Exports nested spans like a program that uses OpenTelemetry, and prints them:
// node export.mjs <base address of the receiver> proto|json none|gzip <bearer token or nothing>
import { context, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const [address, form, compression, token] = process.argv.slice(2);
const Exporter = form === "json" ? JsonExporter : ProtoExporter;
const headers = token ? { Authorization: `Bearer ${token}` } : {};
const exporter = new Exporter({ url: `${address}/v1/traces`, compression, headers });

const results = [];
const exportSpans = exporter.export.bind(exporter);
exporter.export = (spans, done) =>
  exportSpans(spans, (result) => {
    results.push({ code: result.code, error: result.error ? String(result.error) : null });
    done(result);
  });

const provider = new NodeTracerProvider({
  spanProcessors: [new BatchSpanProcessor(exporter, { maxExportBatchSize: 16 })],
});
provider.register();
const tracer = trace.getTracer("node-client");
const made = [];

function nested(depth, attributes) {
  tracer.startActiveSpan(`level ${depth}`, { attributes }, (span) => {
    const { traceId, spanId } = span.spanContext();
    made.push({ traceId, spanId, parentSpanId: span.parentSpanContext?.spanId ?? null, name: `level ${depth}` });
    if (depth < 4) {
      nested(depth + 1, { "leo.span_type": "gate", "leo.gate_score": depth });
      nested(depth + 1, {});
    }
    span.end();
  });
}

nested(1, { "leo.span_type": "handoff", "leo.span_name": "LEAD-TO-PLAN", "leo.sd_type": "feature" });
context.with(context.active(), () => nested(2, { big: 2 ** 53 + 2, ratio: 0.25, flag: true, list: ["a", "b"] }));
await provider.forceFlush();
await provider.shutdown();
console.log(JSON.stringify({ made, results }));
