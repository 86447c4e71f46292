-- Items of a directive: an item has at most one live directive.
CREATE TABLE directive_items (
    directive_id uuid NOT NULL REFERENCES strategic_directives ON DELETE CASCADE,
    item_id uuid NOT NULL REFERENCES continuous_improvements ON DELETE CASCADE,
    is_live boolean NOT NULL DEFAULT true,
    PRIMARY KEY (directive_id, item_id)
);
COMMENT ON TABLE directive_items IS 'Items of each directive; an item has at most one live directive.';
COMMENT ON COLUMN directive_items.is_live IS 'False once the directive is completed or cancelled.';

CREATE UNIQUE INDEX directive_items_one_live ON directive_items (item_id) WHERE is_live;
