"""What a finding leads to. Decisions are pure; storing them is the store's."""
