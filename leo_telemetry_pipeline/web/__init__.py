"""What answers over HTTP: the OTLP receiver. It reads requests; what a span is, and where it goes, is decided below."""
