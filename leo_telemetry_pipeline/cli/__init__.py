"""The command ``leo-telemetry``: what a person types and reads. It decides nothing that the rooms below could."""
