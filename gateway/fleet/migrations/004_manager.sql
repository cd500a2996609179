-- Who may look at the manager's page, what happened in the homes, and the certificates that were made for them.

CREATE TABLE fleet.users (
    name text PRIMARY KEY,
    hash text NOT NULL,
    generation text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    added_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fleet.users IS 'Who may look at the manager''s page. hash: of the password, by scrypt.';
COMMENT ON COLUMN fleet.users.generation IS 'Another one with each password: logins of before end.';

INSERT INTO fleet.settings VALUES ('page', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')) ON CONFLICT DO NOTHING;

CREATE TABLE fleet.certificates (
    serial text PRIMARY KEY,
    site integer NOT NULL REFERENCES fleet.sites ON DELETE CASCADE,
    made_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX certificates_site ON fleet.certificates (site);
COMMENT ON TABLE fleet.certificates IS 'The client certificates that were made for homes; not the certificates themselves.';

CREATE TABLE fleet.events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site integer NOT NULL REFERENCES fleet.sites ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT now(),
    what text NOT NULL,
    was text,
    now_is text
);
CREATE INDEX events_site ON fleet.events (site, id);
COMMENT ON TABLE fleet.events IS 'What changed in what a home says of itself; the newest 500 of each home. what: online, version, config, clock, problem, solved, store, deliver.';

CREATE FUNCTION fleet.note_event(of integer, what text, was text, now_is text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO fleet.events (site, what, was, now_is) VALUES (of, what, was, now_is);
    DELETE FROM fleet.events WHERE site = of AND id <= (SELECT id FROM fleet.events WHERE site = of ORDER BY id DESC OFFSET 500 LIMIT 1);
$$;
REVOKE ALL ON FUNCTION fleet.note_event FROM PUBLIC;

CREATE FUNCTION fleet.note_status() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one text;
    before jsonb := coalesce(OLD.told->'problems', '[]');
    after jsonb := coalesce(NEW.told->'problems', '[]');
BEGIN
    IF OLD.online <> NEW.online THEN
        PERFORM fleet.note_event(NEW.site, 'online', OLD.online::text, NEW.online::text);
    END IF;
    IF OLD.told->>'version' <> NEW.told->>'version' THEN
        PERFORM fleet.note_event(NEW.site, 'version', OLD.told->>'version', NEW.told->>'version');
    END IF;
    IF OLD.told->>'config' <> NEW.told->>'config' THEN
        PERFORM fleet.note_event(NEW.site, 'config', OLD.told->>'config', NEW.told->>'config');
    END IF;
    IF coalesce(OLD.told->>'clock_trusted', 'true') <> coalesce(NEW.told->>'clock_trusted', 'true') THEN
        PERFORM fleet.note_event(NEW.site, 'clock', NULL, coalesce(NEW.told->>'clock_trusted', 'true'));
    END IF;
    FOR one IN SELECT jsonb_array_elements_text(after) EXCEPT SELECT jsonb_array_elements_text(before) LOOP
        PERFORM fleet.note_event(NEW.site, 'problem', NULL, one);
    END LOOP;
    FOR one IN SELECT jsonb_array_elements_text(before) EXCEPT SELECT jsonb_array_elements_text(after) LOOP
        PERFORM fleet.note_event(NEW.site, 'solved', one, NULL);
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER note_status AFTER UPDATE ON fleet.status FOR EACH ROW
    WHEN (OLD.online <> NEW.online
        OR (OLD.told->>'version', OLD.told->>'config', OLD.told->>'clock_trusted', OLD.told->'problems')
            IS DISTINCT FROM (NEW.told->>'version', NEW.told->>'config', NEW.told->>'clock_trusted', NEW.told->'problems'))
    EXECUTE FUNCTION fleet.note_status();

CREATE FUNCTION fleet.note_store() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM fleet.note_event(NEW.site, 'deliver', OLD.deliver, NEW.deliver);
    ELSIF EXISTS (SELECT FROM fleet.stores WHERE site = NEW.site AND id <> NEW.id) THEN
        PERFORM fleet.note_event(NEW.site, 'store', NULL, left(NEW.name, 100));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER note_store AFTER INSERT ON fleet.stores FOR EACH ROW EXECUTE FUNCTION fleet.note_store();
CREATE TRIGGER note_deliver AFTER UPDATE ON fleet.stores FOR EACH ROW
    WHEN (OLD.deliver <> NEW.deliver) EXECUTE FUNCTION fleet.note_store();

CREATE INDEX events_config ON fleet.events (site, at) WHERE what = 'config';
CREATE INDEX deliveries_not_taken ON fleet.deliveries (at) WHERE state IN ('r', 'm');

-- The community's day is read by time: of a month's rows these are the ones that lie together.
CREATE INDEX meter_slots_time ON fleet.meter_slots USING brin (slot) WITH (pages_per_range = 16, autosummarize = on);
